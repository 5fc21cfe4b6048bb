r"""
Noise in a loud recording
=========================

A master near full scale leaves little room for noise: its peaks are at the bounds -1 and 1. Noise that is scaled to a
signal-to-noise ratio (SNR) of 6 dB and then clipped is quieter than that. :func:`numba_car.rescale` with ε = ‖x‖ 10\ :sup:`-SNR/20` makes the
SNR after clipping exact.
"""

import matplotlib.pyplot as plt
import numpy as np

import numba_car as car

rate, seconds, snr = 16_000, 4, 6.0
t = np.arange(rate * seconds) / rate
tones = [
    np.sin(2 * np.pi * f * t) * np.exp(-((t - start) % 1.0))
    for start, f in enumerate((220, 277, 330, 440))
]
x = np.tanh(4 * np.sum(tones, axis=0)).astype(np.float32)  # a limiter, as masters have
delta = np.random.default_rng(0).standard_normal(len(x), dtype=np.float32)

# %%
# An array of one axis is one row.

eps = np.linalg.norm(x) * 10 ** (-snr / 20)
clipped = np.clip(x + eps / np.linalg.norm(delta) * delta, -1, 1)
exact = car.rescale(x, delta, eps, bounds=(-1, 1))


def decibels(v):
    """Return the signal-to-noise ratio."""
    return 20 * np.log10(np.linalg.norm(x) / np.linalg.norm(v - x))


asked, reached = snr, decibels(exact)
print(
    f"SNR in dB: asked for {snr:.2f}, clipped {decibels(clipped):.2f}, ours {reached:.2f}"
)

# %%
# The spectra of the clip and of what was added to it. The noise of both is not white any more: what the bounds take
# away depends on the signal, and has its harmonics.


def spectrum(signal, length=1024):
    """Return the mean power at each frequency, in dB."""
    frames = signal[: len(signal) // length * length].reshape(-1, length)
    power = np.abs(np.fft.rfft(frames * np.hanning(length))) ** 2
    return 10 * np.log10(power.mean(axis=0))


figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
kilohertz = np.fft.rfftfreq(1024, 1 / rate) / 1000
left.plot(kilohertz, spectrum(x), color="#707070", label="the clip")
for name, v, color in (
    ("clipped", clipped, "#d55e00"),
    ("car.rescale", exact, "#0072b2"),
):
    label = f"noise, {name}: {decibels(v):.2f} dB"
    left.plot(kilohertz, spectrum(v - x), color=color, label=label)
left.set(xlabel="frequency in kHz", ylabel="power in dB")
left.legend(frameon=False)
shown = slice(16_000, 16_080)
for v, color in ((clipped, "#d55e00"), (exact, "#0072b2"), (x, "#707070")):
    right.plot(1000 * t[shown], v[shown], ".-", color=color, lw=1)
for bound in (-1, 1):
    right.axhline(bound, color="black", lw=0.8, ls="--")
right.set(xlabel="time in ms", ylabel="sample")
plt.show()
