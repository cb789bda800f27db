"""What surrounds the transforms of the full-lag displacements: one pass over positions, one over spectra."""

from simtools.core.accelerate import kernel

_TILE = 128


@kernel
def gather(r_tnc, ions, x_cnt, square_ct, summed_ct):
    """Copy the displacements of `ions` since the first frame into rows, one per direction and ion.

    Their squares and they themselves are added to the sums of each direction. `x_cnt` has shape
    (3, n_batch, n_fft); what lies beyond the last frame is left as it is. As many frames are taken at a time
    as stay in the nearest cache until the last column is read, and four rows, so that sums are loaded and
    stored less often.
    """
    n_frames, n_batch = r_tnc.shape[0], x_cnt.shape[1]
    fours = n_batch - n_batch % 4
    for start in range(0, n_frames, _TILE):
        stop = min(start + _TILE, n_frames)
        for c in range(3):
            for n in range(n_batch):
                ion = ions[n]
                origin = r_tnc[0, ion, c]
                for t in range(start, stop):
                    x_cnt[c, n, t] = r_tnc[t, ion, c] - origin
            for n in range(0, fours, 4):
                for t in range(start, stop):
                    x, y = x_cnt[c, n, t], x_cnt[c, n + 1, t]
                    z, w = x_cnt[c, n + 2, t], x_cnt[c, n + 3, t]
                    square_ct[c, t] += (x * x + y * y) + (z * z + w * w)
                    summed_ct[c, t] += (x + y) + (z + w)
            for n in range(fours, n_batch):
                for t in range(start, stop):
                    x = x_cnt[c, n, t]
                    square_ct[c, t] += x * x
                    summed_ct[c, t] += x


@kernel
def add_power(spectrum_cnf, power_cf):
    """Add the power spectrum of each row to the sum of its direction, four rows at a time."""
    n_frequencies, n_rows = power_cf.shape[1], spectrum_cnf.shape[1]
    fours = n_rows - n_rows % 4
    for c in range(3):
        for n in range(0, fours, 4):
            for f in range(n_frequencies):
                a, b = spectrum_cnf[c, n, f], spectrum_cnf[c, n + 1, f]
                d, e = spectrum_cnf[c, n + 2, f], spectrum_cnf[c, n + 3, f]
                first = (a.real * a.real + a.imag * a.imag) + (b.real * b.real + b.imag * b.imag)
                second = (d.real * d.real + d.imag * d.imag) + (e.real * e.real + e.imag * e.imag)
                power_cf[c, f] += first + second
        for n in range(fours, n_rows):
            for f in range(n_frequencies):
                a = spectrum_cnf[c, n, f]
                power_cf[c, f] += a.real * a.real + a.imag * a.imag
