package dev.edgestill.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.PI
import kotlin.math.ceil
import kotlin.math.cos
import kotlin.math.max
import kotlin.math.min
import kotlin.math.sin

// Waveforms, as `edgestill_runtime/processing/waves.py` reads and resamples them.

private const val LOWEST_RATE = 1_000
private const val HIGHEST_RATE = 384_000
private const val MOST_CHANNELS = 32
private const val PCM = 1
private const val FLOAT = 3
private const val EXTENSIBLE = 0xfffe
private const val UNKNOWN = "the recording is no WAV file of plain samples; other formats are not read here"
private const val ZERO_CROSSINGS = 16
private const val ROLLOFF = 0.95

/** Samples in -1…1, one channel, and how many of them are a second. */
class Recording(val samples: DoubleArray, val rate: Int)

/** @throws InputError a rate that no recording has. */
internal fun checkedRate(rate: Long): Int {
    if (rate !in LOWEST_RATE..HIGHEST_RATE) throw InputError("rate is samples a second, $LOWEST_RATE to $HIGHEST_RATE, not $rate")
    return rate.toInt()
}

/**
 * A RIFF/WAVE file of 8, 16, 24 or 32 bits, or of floats of 32 or 64; several channels become their mean.
 *
 * @throws InputError it is none, is damaged, or has no samples.
 */
fun readWav(content: ByteArray): Recording {
    val file = ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN)
    if (content.isEmpty()) throw InputError("the recording is empty")
    if (tag(content, 0) != "RIFF" || tag(content, 8) != "WAVE") throw InputError("the recording is no WAV file; other formats are not read here")
    var form: Form? = null
    var place = 12L
    while (place + 8 <= content.size) {
        val at = place.toInt()
        val size = file.getInt(at + 4).toLong() and 0xffffffffL
        // A truncated or unfinished file has less data than its header states: the existing data is read.
        val there = min(size, content.size - place - 8).toInt()
        when (tag(content, at)) {
            "fmt " -> if (there >= 16) form = form(file, at + 8, there)
            "data" -> {
                val known = form ?: throw InputError("the recording is a damaged WAV file: its samples come before their description")
                return samples(file, at + 8, there, known)
            }
        }
        place += 8 + size + size % 2
    }
    throw InputError("the recording is a damaged WAV file: it has no samples")
}

/** [frame]: bytes of one sample of all channels. */
private class Form(val kind: Int, val channels: Int, val rate: Long, val frame: Int, val bits: Int)

private fun tag(content: ByteArray, at: Int) = if (content.size < at + 4) "" else String(content, at, 4, Charsets.ISO_8859_1)

private fun form(file: ByteBuffer, at: Int, size: Int): Form {
    val short = { place: Int -> file.getShort(at + place).toInt() and 0xffff }
    val kind = short(0)
    val inner = if (kind == EXTENSIBLE && size >= 26) short(24) else kind
    return Form(inner, short(2), file.getInt(at + 4).toLong() and 0xffffffffL, short(12), short(14))
}

private fun samples(file: ByteBuffer, at: Int, size: Int, form: Form): Recording {
    val read: (Int) -> Double = when (form.kind to form.bits) {
        PCM to 8 -> { place -> ((file.get(place).toInt() and 0xff) - 128) / 128.0 }
        PCM to 16 -> { place -> file.getShort(place) / 32768.0 }
        PCM to 24 -> { place -> ((file.getShort(place).toInt() and 0xffff) or (file.get(place + 2).toInt() shl 16)) / 8388608.0 }
        PCM to 32 -> { place -> file.getInt(place) / 2147483648.0 }
        FLOAT to 32 -> { place -> file.getFloat(place).toDouble() }
        FLOAT to 64 -> { place -> file.getDouble(place) }
        else -> throw InputError(UNKNOWN)
    }
    if (form.channels !in 1..MOST_CHANNELS) throw InputError("the recording is a WAV file of ${form.channels} channels; 1 to $MOST_CHANNELS are read")
    val width = form.frame / form.channels
    // `arecord -f S24_LE`, as of many I2S microphones: the low three bytes of each four.
    val known = width == form.bits / 8 || (form.bits == 24 && width == 4)
    if (form.frame % form.channels != 0 || !known) throw InputError(UNKNOWN)
    val mixed = DoubleArray(size / form.frame) { number ->
        var total = 0.0
        for (channel in 0 until form.channels) total += read(at + number * form.frame + channel * width)
        total / form.channels
    }
    val rate = checkedRate(form.rate)
    if (mixed.isEmpty()) throw InputError("the recording has no samples")
    if (!mixed.all { it.isFinite() }) throw InputError("the recording has samples that are not finite (NaN or infinity)")
    return Recording(mixed, rate)
}

/** [length] samples at [rate]: the middle of a longer recording; a shorter one with silence on both sides. */
internal fun excerpt(recording: Recording, rate: Int, length: Int): DoubleArray {
    val common = gcd(recording.rate, rate)
    val (up, down) = rate / common to recording.rate / common
    val count = (recording.samples.size.toLong() * up + down - 1) / down // samples that it has at the new rate
    val excess = count - length
    val start = if (excess > 0) excess / 2 else 0
    val waveform = resampled(recording.samples, up, down, start, min(count, length.toLong()).toInt())
    if (excess >= 0) return waveform
    return DoubleArray(length).also { waveform.copyInto(it, (-excess / 2).toInt()) }
}

private tailrec fun gcd(one: Int, other: Int): Int = if (other == 0) one else gcd(other, one % other)

/** Samples from [start] on of a recording at `up / down` times its rate; beyond its ends is silence. */
private fun resampled(samples: DoubleArray, up: Int, down: Int, start: Long, count: Int): DoubleArray {
    if (up == down) return samples.copyOfRange(start.toInt(), start.toInt() + count)
    val cutoff = ROLLOFF * min(up, down) / down // as a share of the recording's Nyquist frequency
    val half = ceil(ZERO_CROSSINGS / cutoff).toInt()
    val rows = HashMap<Int, DoubleArray>() // only the phases that occur
    return DoubleArray(count) { at ->
        val (whole, phase) = ((start + at) * down).let { it / up to (it % up).toInt() }
        val weights = rows.getOrPut(phase) { taps(phase.toDouble() / up, half, cutoff) }
        val first = whole - half + 1
        var total = 0.0
        for (tap in max(0L, -first).toInt() until min(2L * half, samples.size - first).toInt()) {
            total += weights[tap] * samples[(first + tap).toInt()]
        }
        total
    }
}

/** Weights for an output [behind] of a sample after an input: a sinc with a Hann window; their sum is 1. */
private fun taps(behind: Double, half: Int, cutoff: Double): DoubleArray {
    val weights = DoubleArray(2 * half) { tap ->
        val x = ((tap - half + 1) - behind).times(cutoff).coerceIn(-ZERO_CROSSINGS.toDouble(), ZERO_CROSSINGS.toDouble())
        val angle = PI * x
        val window = cos(angle / ZERO_CROSSINGS / 2)
        (if (x == 0.0) 1.0 else sin(angle) / angle) * (window * window)
    }
    val total = weights.sum()
    return DoubleArray(2 * half) { weights[it] / total }
}
