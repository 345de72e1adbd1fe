"""Over dimensions: sums, extremes, order statistics, norms, scans."""
