package dev.edgestill.core

import kotlin.math.PI
import kotlin.math.cos
import kotlin.math.sin

/**
 * Power spectra of windows of [size] samples: `|rfft(x)|²`, [size] / 2 + 1 values.
 *
 * Cooley and Tukey's for powers of two; other lengths as a convolution of such a length (Bluestein 1970).
 */
internal class Fourier(private val size: Int) {
    private val plain = size and (size - 1) == 0
    private val length: Int = if (plain) size else Integer.highestOneBit(2 * size - 1) * 2
    private val cosines = DoubleArray(maxOf(length / 2, 1)) { cos(2 * PI * it / length) }
    private val sines = DoubleArray(maxOf(length / 2, 1)) { sin(2 * PI * it / length) }

    // exp(-iπn²/size); n² modulo 2 · size, for the angle to stay exact.
    private val chirp = DoubleArray(if (plain) 0 else size) { PI * ((it.toLong() * it) % (2L * size)) / size }
    private val chirpReal = DoubleArray(chirp.size) { cos(chirp[it]) }
    private val chirpImaginary = DoubleArray(chirp.size) { sin(chirp[it]) }
    private val filterReal = DoubleArray(length)
    private val filterImaginary = DoubleArray(length)

    init {
        if (!plain) {
            for (at in 0 until size) {
                for (place in intArrayOf(at, (length - at) % length)) {
                    filterReal[place] = chirpReal[at]
                    filterImaginary[place] = chirpImaginary[at]
                }
            }
            transform(filterReal, filterImaginary)
        }
    }

    fun power(window: DoubleArray): DoubleArray {
        val real = DoubleArray(length)
        val imaginary = DoubleArray(length)
        if (plain) {
            window.copyInto(real)
            transform(real, imaginary)
        } else {
            for (at in 0 until size) {
                real[at] = window[at] * chirpReal[at]
                imaginary[at] = -window[at] * chirpImaginary[at]
            }
            transform(real, imaginary)
            for (at in 0 until length) { // the product, conjugated: transformed again it is the inverse transform's
                val product = real[at] * filterReal[at] - imaginary[at] * filterImaginary[at]
                imaginary[at] = -(real[at] * filterImaginary[at] + imaginary[at] * filterReal[at])
                real[at] = product
            }
            transform(real, imaginary)
            for (at in 0..size / 2) { // a factor of modulus 1 is left out: only the power is needed
                real[at] /= length.toDouble()
                imaginary[at] /= length.toDouble()
            }
        }
        return DoubleArray(size / 2 + 1) { real[it] * real[it] + imaginary[it] * imaginary[it] }
    }

    private fun transform(real: DoubleArray, imaginary: DoubleArray) {
        var reversed = 0
        for (at in 1 until length) {
            var bit = length shr 1
            while (reversed and bit != 0) {
                reversed = reversed xor bit
                bit = bit shr 1
            }
            reversed = reversed or bit
            if (at < reversed) {
                real[at] = real[reversed].also { real[reversed] = real[at] }
                imaginary[at] = imaginary[reversed].also { imaginary[reversed] = imaginary[at] }
            }
        }
        var half = 1
        while (half < length) {
            for (start in 0 until length step 2 * half) {
                for (at in 0 until half) {
                    val turn = at * (length / (2 * half))
                    val (one, other) = start + at to start + at + half
                    val a = real[other] * cosines[turn] + imaginary[other] * sines[turn]
                    val b = imaginary[other] * cosines[turn] - real[other] * sines[turn]
                    real[other] = real[one] - a
                    imaginary[other] = imaginary[one] - b
                    real[one] += a
                    imaginary[one] += b
                }
            }
            half *= 2
        }
    }
}
