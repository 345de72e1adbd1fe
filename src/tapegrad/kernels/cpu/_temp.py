import numpy as np
def sum(x, axes, keepdims, dtype): return np.asarray(np.sum(x, axis=axes, keepdims=keepdims, dtype=dtype))
def amax(x, axes, keepdims): return np.asarray(np.max(x, axis=axes, keepdims=keepdims))
def amin(x, axes, keepdims): return np.asarray(np.min(x, axis=axes, keepdims=keepdims))
def argmax(x, axis, keepdims): return np.asarray(np.argmax(x, axis=axis, keepdims=keepdims)) if x.ndim else np.asarray(0)
def argmin(x, axis, keepdims): return np.asarray(np.argmin(x, axis=axis, keepdims=keepdims)) if x.ndim else np.asarray(0)
def max_with_index(x, axis, keepdims): return amax(x, (axis,) if x.ndim else (), keepdims), argmax(x, axis, keepdims)
def min_with_index(x, axis, keepdims): return amin(x, (axis,) if x.ndim else (), keepdims), argmin(x, axis, keepdims)
def var(x, axes, keepdims, correction): return np.asarray(np.var(x, axis=axes, keepdims=keepdims, ddof=correction))
def cumsum(x, axis, dtype, reverse=False):
    return np.flip(np.cumsum(np.flip(x, axis), axis, dtype=dtype), axis).copy() if reverse else np.cumsum(x, axis, dtype=dtype)
def logsumexp(x, axes, keepdims):
    m = np.max(x, axis=axes, keepdims=True); m = np.where(np.isfinite(m), m, 0)
    r = np.log(np.sum(np.exp(x - m), axis=axes, keepdims=True)) + m
    return r if keepdims else r.reshape([n for i, n in enumerate(x.shape) if i not in axes])
def sum_to(x, shape):
    if x.shape == tuple(shape): return x
    x = np.asarray(x.sum(axis=tuple(range(x.ndim - len(shape)))))
    ax = tuple(i for i, n in enumerate(shape) if n == 1 and x.shape[i] != 1)
    return np.asarray(x.sum(axis=ax, keepdims=True)) if ax else x
def softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True)); return e / e.sum(axis=axis, keepdims=True)
def log_softmax(x, axis): return x - logsumexp(x, (axis,) if x.ndim else (), True)
def softmax_backward(g, y, axis): return y * (g - (g * y).sum(axis=axis, keepdims=True))
def log_softmax_backward(g, y, axis): return g - np.exp(y) * g.sum(axis=axis, keepdims=True)
def cross_entropy(x, t, w, ignore, s):
    lse = logsumexp(x, (1,), False); w = np.ones(x.shape[1], x.dtype) if w is None else w
    k = t != ignore; tt = np.where(k, t, 0); r = np.arange(len(t))
    rows = (1 - s) * w[tt] * (lse - x[r, tt]) + s * ((lse[:, None] - x) * w).mean(1)
    return np.where(k, rows, 0).astype(x.dtype), lse
def cross_entropy_backward(g, x, t, lse, w, ignore, s):
    w = np.ones(x.shape[1], x.dtype) if w is None else w
    k = t != ignore; tt = np.where(k, t, 0); r = np.arange(len(t))
    tot = (1 - s) * w[tt] + s * w.mean()
    d = np.exp(x - lse[:, None]) * tot[:, None] - s * w / x.shape[1]
    d[r, tt] -= (1 - s) * w[tt]
    return (d * (g * k)[:, None]).astype(x.dtype)
