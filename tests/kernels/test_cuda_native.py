"""The native code of the CUDA backend: what it launches, what it keeps and gives back, and what it does where something fails."""

from __future__ import annotations

import textwrap

from . import test_cuda_driver

START = """
from tapegrad.kernels.cuda import planned, recording, state
x = tg.ones(4, 6, device="cuda")
log.clear()

def launches():
    return asked("launch")
"""


def run(code: str, driver: str = "null") -> str:
    """What the code prints, beside a driver without a device."""
    return test_cuda_driver.run(START + textwrap.dedent(code), TAPEGRAD_CUDA_DRIVER=driver)


def test_a_plan_launches_what_the_function_did() -> None:
    run("""
        def both(f):
            seen = []
            for _ in range(3):
                log.clear()
                kept = f()
                seen.append([(device, stream, name, grid, block, len(arguments)) for device, stream, name, grid, block, arguments in launches()])
            assert seen[0] == seen[1] == seen[2] and seen[0], seen
        y = tg.ones(6, device="cuda")
        for f in (lambda: x + y, lambda: x * 2.5, lambda: x.t() + 1, lambda: x.sum(0), lambda: x.softmax(1), lambda: x @ x.t(),
                  lambda: x.t().contiguous(), lambda: tg.nn.functional.layer_norm(x, (6,)), lambda: x.half(), lambda: x.sin_()):
            both(f)
    """)


def test_a_plan_passes_numbers_and_addresses_of_each_call() -> None:
    run("""
        for factor in (2.5, -1e300, 3, 2**40):
            y = x * factor
            arguments = launches()[-1][-1]
            with np.errstate(over="ignore"):
                assert arguments[1] == np.float32(factor) and arguments[1].dtype == np.float32
            assert arguments[0] == x.data_ptr() and arguments[2] == y.data_ptr() and arguments[3] == 24
        d = x.double()
        for factor in (0.1, 7):
            d * factor
            assert launches()[-1][-1][1] == factor and launches()[-1][-1][1].dtype == np.float64
        i = x.long()
        for factor in (3, -(2**53), 2**62):
            i * factor
            assert launches()[-1][-1][1] == factor
        views = [x[k : k + 1] + 1 for k in range(4)]
        assert [entry[-1][0] - x.data_ptr() for entry in launches()[-4:]] == [0, 24, 48, 72]
    """)


def test_a_plan_knows_where_an_array_lies_in_a_vector() -> None:
    run("""
        base = tg.ones(64, device="cuda")
        names = []
        for start in (0, 4, 1, 2, 8, 1):
            base[start : start + 32] * 2
            names.append(launches()[-1][2])
        assert names[0] == names[1] == names[4] and names[2] == names[5] and len(set(names)) == 3
    """)


def test_plans_belong_to_a_device_and_take_its_stream() -> None:
    run("""
        with tg.cuda.device(1):
            y = tg.ones(4, 6, device="cuda")
        side = tg.cuda.Stream()
        for _ in range(2):
            log.clear()
            x + 1, x.sum(1)
            with tg.cuda.stream(side):
                z = x.sum(1)
                assert z._array.owner.stream == side.cuda_stream
                x + 1
            with tg.cuda.device(1):
                w = y.sum(1)
                assert w.device.index == 1 == w._array.owner.device
                y + 1
            s = side.cuda_stream
            assert [(device, stream) for device, stream, *_ in launches()] == [(0, 0)] * 2 + [(0, s)] * 2 + [(1, 0)] * 2
        known = len(K.copy._plans._known)
        assert K.copy(y._array).device == 1 and len(K.copy._plans._known) == known  # device 0 is the current one
        try:
            x + y
        except RuntimeError as error:
            assert "cuda:1" in str(error)
        else:
            raise AssertionError
    """)


def test_a_finalizer_that_uses_another_device_does_not_move_a_plan_there() -> None:
    run("""
        from tapegrad.kernels.cuda.drivers.thread import ACTIVE, activated, thread_words
        x + 1
        new_event, from_device, launch, active = driver.new_event, memory.Pool._from_device, driver.launch, []
        def uses(device, timing):
            activated(device)
            return new_event(device, timing)
        def collects(self, room, size):
            gc.collect()
            return from_device(self, room, size)
        def launched(*given):
            active.append(int(thread_words()[ACTIVE]))
            launch(*given)
        driver.new_event, memory.Pool._from_device, driver.launch = uses, collects, launched
        cycle = [tg.ones(9, device="cuda:1")]
        cycle[0].record_stream(tg.cuda.Stream("cuda:1"))
        cycle.append(cycle)
        gc.disable()
        del cycle
        memory.pool(0).release_unused()
        log.clear()
        x + 1
        assert len(launches()) == 1 and active[-1] == 0 and asked("record")[0][0] == 1
    """)


def test_nothing_is_kept() -> None:
    run("""
        y = tg.ones(6, device="cuda")
        shape, dtype = (3, 5), np.dtype(np.float32)
        def work():
            x + y, x * 2, x.sum(0), x.softmax(1), x[1:], x.t(), x.t().contiguous(), K.empty(shape, dtype), K.zeros(shape, dtype)
            x.max(1), tg.nn.functional.layer_norm(x, (6,)), x._array.device, K.copy(x._array)
            tg.randn(3, 4, device="cuda"), tg.nn.functional.dropout(x, 0.5)
        for _ in range(5):
            work()
        gc.collect()
        objects = [x._array, y._array, dtype, np.dtype(np.int64), shape, None, state.kept[state.HANDLER], K.CudaArray, 12345.0]
        counts, used = list(map(sys.getrefcount, objects)), tg.cuda.memory_stats()["allocation.all.current"]
        reserved = tg.cuda.memory_reserved()
        for _ in range(500):
            work()
            log.clear()
        gc.collect()
        now = list(map(sys.getrefcount, objects))
        assert all(abs(a - b) < 50 for a, b in zip(counts, now)), (counts, now)
        assert tg.cuda.memory_stats()["allocation.all.current"] == used and tg.cuda.memory_reserved() == reserved
    """)


def test_errors_of_the_driver_are_raised_and_nothing_is_lost() -> None:
    run("""
        functions = {"new": lambda: x + 1, "given": lambda: x.add_(1), "several": lambda: x.max(1), "filled": lambda: K.zeros((4,), f32)}
        for f in functions.values():
            f(), f()
        used = tg.cuda.memory_allocated()
        class Full(list):
            def append(self, entry):
                raise MemoryError("no room")
        for name, f in functions.items():
            context.driver.log = Full()
            for _ in range(3):
                try:
                    f()
                except MemoryError as error:
                    assert str(error) == "no room"
                else:
                    raise AssertionError(name)
            context.driver.log = log
            assert tg.cuda.memory_allocated() == used
            f()
    """)


def test_plans_run_out_of_memory_as_functions_do() -> None:
    run("""
        big = tg.empty(400 << 18, device="cuda")
        y = big + 1
        del y
        tg.cuda.set_per_process_memory_fraction(0.5)
        tg.cuda.empty_cache()
        used = tg.cuda.memory_allocated()
        for f in (lambda: big + 1, lambda: big.double(), lambda: big + 1):
            try:
                f()
            except tg.cuda.OutOfMemoryError as error:
                assert "limited to 50%" in str(error)
            else:
                raise AssertionError
        assert tg.cuda.memory_allocated() == used
        tg.cuda.set_per_process_memory_fraction(1.0)
        assert (big + 1).shape == big.shape
    """)


def test_memory_that_another_stream_uses_waits_for_it_after_a_plan_too() -> None:
    run("""
        side = tg.cuda.Stream()
        x + 1
        y = x + 1
        address = y.data_ptr()
        y.record_stream(side)
        driver.reached = lambda device, event: False
        try:
            raise ValueError
        except ValueError:
            del y  # its finalizer runs Python, in the middle of another exception
            assert sys.exc_info()[0] is ValueError
        assert (x + 1).data_ptr() != address
        driver.reached = lambda device, event: True
        assert address in [a.data_ptr() for a in [x + 1 for _ in range(3)]]
    """)


def test_threads_share_plans_and_memory() -> None:
    run("""
        wrong = []
        def work(k):
            with tg.cuda.device(k % 2):
                mine = tg.ones(4, 6, device="cuda")
                for n in range(200):
                    made = [mine + k, mine.sum(n % 2), mine[n % 4 :] * 2.0, tg.ones(n % 7 + 1, device="cuda") + mine[0, 0]]
                    addresses = [a.data_ptr() for a in made]
                    if len(set(addresses)) != len(made) or any(a.device.index != k % 2 for a in made):
                        wrong.append((k, n))
        threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        gc.collect()
        assert wrong == [] and recording.recorders == [] and int(state.block[state.RECORDERS]) == 0
        assert tg.cuda.memory_allocated(1) == 0
        for pool in memory.pools():
            addresses = [a for free in pool.free.values() for a in free]
            assert len(set(addresses)) == len(addresses) == pool.pieces - len([r for r in driver.blocks[pool.device] if r == x.data_ptr()])
    """)


def test_two_threads_that_meet_an_operation_first_share_its_plans() -> None:
    run("""
        from tapegrad.kernels.cuda import quick
        made, both = [], threading.Barrier(2)
        class Met(quick.Quick):
            def __init__(self, *args, **named):
                super().__init__(*args, **named)
                made.append(self)
                both.wait(20)
        tg.kernels.cuda.Quick = Met
        x, y = tg.zeros(5, device="cuda"), tg.zeros(2, 3, device="cuda")
        threads = [threading.Thread(target=tg.erfinv, args=(t,)) for t in (x, y)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(made) == 2 and sorted(len(q._plans._known) for q in made) == [0, 2]
    """)


def test_native_code_keeps_the_plans_that_it_goes_by() -> None:
    run("""
        import weakref
        plans = planned.plans_of()
        plans.add((1, 2), [0, 0, 0, 0], [], [])
        call, known = plans.quick(), weakref.ref(plans)
        del plans
        gc.collect()
        assert known() is not None and call() is None
        del call
        gc.collect()
        assert known() is None
    """)


def test_a_function_that_asks_more_than_launches_has_no_plan() -> None:
    run("""
        def asks(a):
            b = K.empty((4,), f32)
            K.to_host(b)
            return K.copy(a)
        def takes(a):
            return K.added(a, other._array)
        other = tg.ones(4, 6, device="cuda")
        def views(a):
            K.copy(a)
            return a[1:]
        for function in (asks, takes, views):
            f = planned.planned(function)
            for _ in range(3):
                assert f(x._array).shape == function(x._array).shape
            assert len(f._plans._known) == 0 and len(f._hopeless) == 1
    """)


def test_an_array_that_is_given_twice_teaches_nothing() -> None:
    run("""
        other = tg.ones(4, 6, device="cuda")
        f = planned.planned(K.added._function)
        for _ in range(2):
            f(x._array, x._array)
        assert len(f._plans._known) == len(f._hopeless) == 0
        for given in ((x, other), (x, other), (other, x), (x, x)):
            f(given[0]._array, given[1]._array)
            assert launches()[-1][-1][:2] == tuple(t.data_ptr() for t in given)
        assert len(f._plans._known) == 1
    """)


def test_ints_that_are_passed_on_are_not_known_by_value() -> None:
    run("""
        before = tg.randn(5, device="cuda")
        for _ in range(4):
            log.clear()
            tg.randn(5, device="cuda")
            counter = launches()[-1][-1][3]
            tg.randn(5, device="cuda")
            assert launches()[-1][-1][3] == counter + 2 and launches()[-1][2] == launches()[0][2]
        for seed in (7, 2**63 - 1, -(2**62)):
            tg.cuda.manual_seed(seed)
            tg.randn(5, device="cuda")
            assert launches()[-1][-1][2] == seed
    """)


def test_a_function_that_reckons_with_such_ints_has_no_plan() -> None:
    run("""
        from tapegrad.kernels.cuda.random import philox_kernels
        def draws(n, counter, reckon):
            out = K.empty((n,), f32)
            philox_kernels.numbers("uniform", "float32").launch(1, 64, out, n, 7, reckon(counter), *map(np.float32, (0, 1, 0)))
            return out
        same = lambda c: c
        for reckon in (lambda c: c + 1, lambda c: 1 - c, lambda c: -c, lambda c: c & 255, lambda c: int(c), lambda c: 3 if c > 5 else 4, same):
            f = planned.planned_but_for("counter")(lambda n, counter: draws(n, counter, reckon))
            for counter in (5, 9, 9):
                f(4, counter)
                assert launches()[-1][-1][3] == reckon(counter)
            assert len(f._plans._known) == (reckon is same)
    """)


def test_plans_heed_the_precision_that_is_allowed() -> None:
    run("""
        from tapegrad.kernels.precision import allowed
        seen = []
        @planned.planned
        def f(a):
            seen.append(allowed.tf32)
            return K.copy(a)
        for setting in (False, False, True, True, False):
            allowed.tf32 = setting
            f(x._array)
        assert seen == [False, True]
    """)


def test_arrays_may_outlive_the_modules() -> None:
    run("""
        import builtins
        builtins.kept = [x, x + 1, x.t(), K.empty((3,), f32)]
        y = x + 1
        y.record_stream(tg.cuda.Stream())
        builtins.shared = y
        class Late:
            def __init__(self):
                self.array, self.me = K.empty((4,), f32), self
        Late()
        threading.current_thread().kept = x * 2
    """)


def test_the_simulator_raises_what_a_kernel_raises_and_goes_on() -> None:
    run(
        """
        from tapegrad.kernels.cuda.kernel import family
        from tapegrad.kernels.cuda.language import cuda
        @family(threads=32)
        def outside():
            def kernel(a, n):
                a[n + cuda.threadIdx.x] = 1.0
            return kernel, "float32* int64"
        for _ in range(2):
            try:
                outside().launch(1, 4, x._array, 1000)
            except IndexError as error:
                assert "1000" in str(error)
            else:
                raise AssertionError
            outside().launch(1, 4, x._array, 2)
        assert (x + 1).sum().item() == 48.0
        """,
        driver="simulator",
    )
