package dev.edgestill.core

import kotlin.math.PI
import kotlin.math.cos
import kotlin.math.log10
import kotlin.math.max
import kotlin.math.min
import kotlin.math.pow

/**
 * How a recording becomes what a model was trained on: a log-mel picture. [height] is the number of mel bands, [width]
 * that of windows. Computed in double precision and rounded once, at the end, so that it is Python's to the last bit.
 *
 * @property rate samples a second that the model was trained on. seconds: length of what it hears.
 * @property window seconds, as is [step]. lowest: Hz. decibels: the range below the loudest value that becomes 0–255.
 */
data class AudioProcessor(
    override val height: Int,
    override val width: Int,
    override val mean: List<Double>,
    override val std: List<Double>,
    val rate: Int = 16000,
    val seconds: Double = 1.0,
    val window: Double = 0.032,
    val step: Double = 0.016,
    val lowest: Double = 20.0,
    val decibels: Double = 80.0,
) : Processor() {
    init {
        check()
        checkedRate(rate.toLong())
        if (channels != 1) throw InputError("a log-mel picture has one channel; mean and std have $channels values")
        if (!(0 < step && step <= window && window <= seconds && seconds <= 3600) || samples(step) < 1) {
            throw InputError("step $step, window $window and seconds $seconds must be above 0, in this order, and a step at least one sample")
        }
        if (!(lowest >= 0 && lowest < rate / 2.0)) throw InputError("lowest must be 0 to half the rate, ${rate / 2.0} Hz, not $lowest")
        if (!(decibels > 0 && decibels <= 400)) throw InputError("decibels must be above 0 and at most 400, not $decibels")
        val found = (samples(seconds) - samples(window)) / samples(step) + 1
        if (width != found) throw InputError("width is $width, but $seconds s have $found windows")
    }

    private val hann by lazy { samples(window).let { size -> DoubleArray(size) { 0.5 + 0.5 * cos(PI * (2 * it - size) / size) } } }
    private val fourier by lazy { Fourier(samples(window)) }
    private val filters by lazy { triangles(samples(window)) }

    // Half to even, as Python rounds.
    private fun samples(length: Double): Int = Math.rint(length * rate).toInt()

    /** A recording of any length and rate as pixels: uint8, bands × windows, low bands first. */
    fun pixels(recording: Recording): ByteArray {
        val (length, size, hop) = Triple(samples(seconds), samples(window), samples(step))
        val waveform = excerpt(recording, rate, length)
        val columns = Array(width) { number ->
            val power = fourier.power(DoubleArray(size) { waveform[number * hop + it] * hann[it] })
            DoubleArray(height) { band -> 10 * log10(max(filters[band].of(power), 1e-12)) }
        }
        val loudest = max(columns.maxOf { it.max() }, decibels - 120) // silence is 0
        return ByteArray(count) { at ->
            val scaled = (columns[at % width][at / width] - loudest + decibels) / decibels
            Math.rint(255 * scaled.coerceIn(0.0, 1.0)).toInt().toByte()
        }
    }

    /** A triangle: weights of the frequencies from `first` on; all others are 0. */
    private class Triangle(val first: Int, val weights: DoubleArray) {
        fun of(power: DoubleArray): Double {
            var total = 0.0
            for (at in weights.indices) total += weights[at] * power[first + at]
            return total
        }
    }

    private fun triangles(size: Int): List<Triangle> {
        val (start, end) = listOf(lowest, rate / 2.0).map { 2595 * log10(1 + it / 700) }
        val edges = DoubleArray(height + 2) { 700 * (10.0.pow((start + it * ((end - start) / (height + 1))) / 2595) - 1) }
        return List(height) { band ->
            val (low, centre, high) = Triple(edges[band], edges[band + 1], edges[band + 2])
            val all = DoubleArray(size / 2 + 1) {
                val frequency = it.toDouble() * rate / size
                max(0.0, min((frequency - low) / (centre - low), (high - frequency) / (high - centre)))
            }
            val first = all.indexOfFirst { it > 0 }
            if (first < 0) Triangle(0, DoubleArray(0)) else Triangle(first, all.copyOfRange(first, all.indexOfLast { it > 0 } + 1))
        }
    }
}
