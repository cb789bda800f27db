"""What surrounds the transforms of the full-lag displacements: one pass over positions, one over spectra."""

from simtools.core.accelerate import kernel

_LINE = 8


@kernel
def gather(r_tnc, first_ion, x_cnt):
    """Copy the displacements of some ions since the first frame into rows, one per direction and ion.

    `x_cnt` has shape (3, n_batch, n_fft); what lies beyond the last frame is left as it is. Eight frames at
    a time fill a cache line of each row.
    """
    n_frames, n_batch = r_tnc.shape[0], x_cnt.shape[1]
    for start in range(0, n_frames, _LINE):
        stop = min(start + _LINE, n_frames)
        for n in range(n_batch):
            ion = first_ion + n
            x, y, z = r_tnc[0, ion, 0], r_tnc[0, ion, 1], r_tnc[0, ion, 2]
            for t in range(start, stop):
                x_cnt[0, n, t] = r_tnc[t, ion, 0] - x
                x_cnt[1, n, t] = r_tnc[t, ion, 1] - y
                x_cnt[2, n, t] = r_tnc[t, ion, 2] - z


@kernel
def add_rows(x_cnt, spectrum_cnf, square_ct, summed_ct, power_cf):
    """Add each row's square, the row itself and its power spectrum to the sums of its direction.

    Four rows at a time, so that the sums are loaded and stored less often.
    """
    n_frames, n_frequencies, n_rows = square_ct.shape[1], power_cf.shape[1], x_cnt.shape[1]
    fours = n_rows - n_rows % 4
    for c in range(3):
        for n in range(0, fours, 4):
            for t in range(n_frames):
                x, y = x_cnt[c, n, t], x_cnt[c, n + 1, t]
                z, w = x_cnt[c, n + 2, t], x_cnt[c, n + 3, t]
                square_ct[c, t] += (x * x + y * y) + (z * z + w * w)
                summed_ct[c, t] += (x + y) + (z + w)
            for f in range(n_frequencies):
                a, b = spectrum_cnf[c, n, f], spectrum_cnf[c, n + 1, f]
                d, e = spectrum_cnf[c, n + 2, f], spectrum_cnf[c, n + 3, f]
                first = (a.real * a.real + a.imag * a.imag) + (b.real * b.real + b.imag * b.imag)
                second = (d.real * d.real + d.imag * d.imag) + (e.real * e.real + e.imag * e.imag)
                power_cf[c, f] += first + second
        for n in range(fours, n_rows):
            for t in range(n_frames):
                x = x_cnt[c, n, t]
                square_ct[c, t] += x * x
                summed_ct[c, t] += x
            for f in range(n_frequencies):
                a = spectrum_cnf[c, n, f]
                power_cf[c, f] += a.real * a.real + a.imag * a.imag
