package dev.edgestill.core

/**
 * An image as it is stored: grey (1 channel), grey and alpha (2), RGB (3) or RGBA (4), alpha not multiplied in. It hands
 * out a row or a column at a time, so that a photo of fifty million pixels needs no second copy.
 *
 * @property orientation 1–8, as EXIF counts them.
 */
abstract class Picture(val height: Int, val width: Int, val channels: Int, val orientation: Int = 1) {
    init {
        if (height < 1 || width < 1) throw InputError("an image of $height × $width has no pixels")
        if (channels !in 1..4) throw InputError("an image has 1 to 4 channels, not $channels")
        if (orientation !in 1..8) throw InputError("an orientation is 1 to 8, not $orientation")
    }

    /** Values 0–255 of one row, `width * channels`, into [into]. */
    abstract fun row(number: Int, into: IntArray)

    /** Values 0–255 of one column, `height * channels`, into [into]. */
    abstract fun column(number: Int, into: IntArray)
}

/** A picture of values 0–255, row by row. */
class Pixels(height: Int, width: Int, channels: Int, val values: ByteArray, orientation: Int = 1) :
    Picture(height, width, channels, orientation) {
    init {
        if (values.size.toLong() != height.toLong() * width * channels) {
            throw InputError("an image has ${values.size} values, not $height × $width × $channels")
        }
    }

    override fun row(number: Int, into: IntArray) {
        val start = number * width * channels
        for (at in 0 until width * channels) into[at] = values[start + at].toInt() and 0xff
    }

    override fun column(number: Int, into: IntArray) {
        for (row in 0 until height) {
            val start = (row * width + number) * channels
            for (channel in 0 until channels) into[row * channels + channel] = values[start + channel].toInt() and 0xff
        }
    }

    companion object {
        /** Of 16 bits a channel, the upper eight. */
        fun of16(height: Int, width: Int, channels: Int, values: ShortArray, orientation: Int = 1) =
            Pixels(height, width, channels, ByteArray(values.size) { (values[it].toInt() shr 8).toByte() }, orientation)
    }
}

/** The rows of a picture as it is meant to be seen. */
internal class Upright(private val picture: Picture) {
    private val turned = picture.orientation >= 5
    private val upsideDown = picture.orientation in listOf(3, 4, 6, 7)
    private val mirrored = picture.orientation in listOf(2, 3, 7, 8)
    val channels: Int = picture.channels
    val height: Int = if (turned) picture.width else picture.height
    val width: Int = if (turned) picture.height else picture.width

    fun row(number: Int, into: IntArray) {
        if (turned) {
            picture.column(if (mirrored) picture.width - 1 - number else number, into)
            if (upsideDown) reverse(into)
        } else {
            picture.row(if (upsideDown) picture.height - 1 - number else number, into)
            if (mirrored) reverse(into)
        }
    }

    private fun reverse(row: IntArray) {
        for (first in 0 until width / 2) {
            val (one, other) = first * channels to (width - 1 - first) * channels
            for (channel in 0 until channels) row[one + channel] = row[other + channel].also { row[other + channel] = row[one + channel] }
        }
    }
}
