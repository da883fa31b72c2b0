package dev.edgestill.core

import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.max
import kotlin.math.min

// Changing the size of an image, antialiased: `edgestill_runtime/processing/resizing.py`, operation by operation. Weights
// are computed in double precision and rounded to multiples of 2^-22; the horizontal pass is first, and rounded to 8 bits.

/** Filter → half its width in input pixels, where nothing gets smaller. */
internal val FILTERS = mapOf("bilinear" to 1.0, "bicubic" to 2.0)
private const val PRECISION = 22

/** A part of an image; its edges may lie between pixels. */
internal class Box(val left: Double, val top: Double, val right: Double, val bottom: Double)

/** An image that is read row by row: values 0–255 of row `number` into an array of `width * channels`. */
internal class Rows(val height: Int, val width: Int, val channels: Int, val read: (number: Int, into: IntArray) -> Unit)

/** Of each output pixel: the first input pixel, how many, and their weights, all of them one after the other. */
private class Weights(val first: IntArray, val taps: IntArray, val values: Array<IntArray>)

/** The part [box] of an image in another size: uint8, height × width × channels. */
internal fun resized(image: Rows, height: Int, width: Int, box: Box, filter: String): ByteArray {
    // Pillow hands the edges on in single precision.
    val (left, right) = box.left.toFloat() to box.right.toFloat()
    val (top, bottom) = box.top.toFloat() to box.bottom.toFloat()
    val across = if (left == 0f && right == image.width.toFloat() && width == image.width) null else weights(image.width, left, right, width, filter)
    val down = if (top == 0f && bottom == image.height.toFloat() && height == image.height) null else weights(image.height, top, bottom, height, filter)
    // Rows that no output looks at are not read.
    val start = down?.first?.min() ?: 0
    val end = down?.let { it.first.indices.maxOf { row -> it.first[row] + it.taps[row] } } ?: image.height
    val line = width * image.channels
    val narrow = ByteArray(Math.multiplyExact(end - start, line))
    val row = IntArray(image.width * image.channels)
    for (number in start until end) {
        image.read(number, row)
        if (across == null) row.forEachIndexed { at, value -> narrow[(number - start) * line + at] = value.toByte() }
        else horizontal(row, image.channels, across, narrow, (number - start) * line)
    }
    return if (down == null) narrow else vertical(narrow, start, line, down)
}

private fun weights(size: Int, start: Float, end: Float, count: Int, filter: String): Weights {
    val scale = (end - start).toDouble() / count
    val stretch = max(scale, 1.0)
    val support = FILTERS.getValue(filter) * stretch
    val inverse = 1.0 / stretch
    val first = IntArray(count)
    val taps = IntArray(count)
    val most = ceil(support).toInt() * 2 + 1
    val values = Array(count) { number ->
        val centre = start.toDouble() + (number + 0.5) * scale
        first[number] = max((centre - support + 0.5).toInt(), 0) // truncated towards zero, as C does
        taps[number] = min(min((centre + support + 0.5).toInt(), size) - first[number], most)
        val raw = DoubleArray(max(taps[number], 0)) { tap -> weight((tap + first[number] - centre + 0.5) * inverse, filter) }
        var total = 0.0
        for (value in raw) total += value // one after the other: the order is part of the arithmetic
        IntArray(raw.size) { tap -> rounded((if (total != 0.0) raw[tap] / total else raw[tap]) * (1 shl PRECISION)) }
    }
    return Weights(first, taps, values)
}

private fun rounded(steps: Double): Int = (if (steps < 0) steps - 0.5 else steps + 0.5).toInt()

private fun weight(distance: Double, filter: String): Double {
    val x = abs(distance)
    if (filter == "bilinear") return if (x < 1.0) 1.0 - x else 0.0
    val a = -0.5 // Keys 1981, "Cubic convolution interpolation for digital image processing"
    return when {
        x < 1.0 -> ((a + 2.0) * x - (a + 3.0)) * x * x + 1
        x < 2.0 -> (((x - 5) * x + 8) * x - 4) * a
        else -> 0.0
    }
}

private fun eightBits(total: Int): Byte = (total shr PRECISION).coerceIn(0, 255).toByte()

private fun horizontal(row: IntArray, channels: Int, weights: Weights, into: ByteArray, start: Int) {
    var at = start
    for (number in weights.first.indices) {
        val values = weights.values[number]
        for (channel in 0 until channels) {
            var total = 1 shl (PRECISION - 1)
            var from = weights.first[number] * channels + channel
            for (value in values) {
                total += row[from] * value
                from += channels
            }
            into[at++] = eightBits(total)
        }
    }
}

/** [image] begins with row [start] of the original; a row has [line] values. */
private fun vertical(image: ByteArray, start: Int, line: Int, weights: Weights): ByteArray {
    val result = ByteArray(weights.first.size * line)
    val total = IntArray(line)
    for (number in weights.first.indices) {
        total.fill(1 shl (PRECISION - 1))
        weights.values[number].forEachIndexed { tap, value ->
            val from = (weights.first[number] - start + tap) * line
            for (at in 0 until line) total[at] += (image[from + at].toInt() and 0xff) * value
        }
        for (at in 0 until line) result[number * line + at] = eightBits(total[at])
    }
    return result
}
