package dev.edgestill.demo

import android.content.ContentResolver
import android.content.res.AssetManager
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.media.ExifInterface
import android.net.Uri
import dev.edgestill.core.AudioProcessor
import dev.edgestill.core.ImageProcessor
import dev.edgestill.core.InputError
import dev.edgestill.core.Picture
import dev.edgestill.core.Pixels
import dev.edgestill.core.Processor
import dev.edgestill.core.Recording
import dev.edgestill.core.grey
import dev.edgestill.core.readAtMost
import dev.edgestill.core.readWav
import java.io.IOException
import java.nio.ByteBuffer

/** Longest recording that is read, bytes: a quarter of an hour of stereo. */
private const val LONGEST = 200L shl 20

/**
 * What the bundle's processor makes of a photo or a recording that another app hands over.
 *
 * @throws InputError it cannot be read.
 */
fun pixelsOf(resolver: ContentResolver, uri: Uri, processor: Processor): ByteArray =
    when (processor) {
        is ImageProcessor -> processor.pixels(readPicture(resolver, uri))
        is AudioProcessor -> processor.pixels(readRecording(resolver, uri))
    }

/** The same for a bitmap. @throws InputError the model takes recordings. */
fun pixelsOf(bitmap: Bitmap, processor: Processor): ByteArray =
    (processor as? ImageProcessor)?.pixels(pictureOf(bitmap)) ?: throw InputError("the model takes recordings, and this is a picture")

/**
 * A picture as it is stored: all of its pixels, its EXIF orientation beside them, alpha not multiplied in.
 *
 * Android has decoded it: 8 bits a channel. Nothing is scaled here; that is the processor's.
 */
fun readPicture(resolver: ContentResolver, uri: Uri): Picture =
    reading("picture") {
        val whole = BitmapFactory.Options().apply {
            inPremultiplied = false
            inScaled = false
        }
        val bitmap = open(resolver, uri).use { BitmapFactory.decodeStream(it, null, whole) } ?: throw InputError("this is no picture")
        pictureOf(bitmap, open(resolver, uri).use { orientation(it) })
    }

private fun readRecording(resolver: ContentResolver, uri: Uri): Recording =
    reading("recording") {
        val content = open(resolver, uri).use { it.readAtMost(LONGEST) }
        if (content.size > LONGEST) throw InputError("the recording is larger than ${LONGEST shr 20} MB")
        readWav(content)
    }

private fun <T> reading(what: String, read: () -> T): T =
    try {
        read()
    } catch (error: IOException) {
        throw InputError("the $what cannot be read: ${error.message}")
    } catch (error: SecurityException) {
        throw InputError("the $what may not be read: ${error.message}")
    } catch (error: OutOfMemoryError) {
        throw InputError("the $what is too large for this phone's memory")
    }

private fun open(resolver: ContentResolver, uri: Uri) = resolver.openInputStream(uri) ?: throw InputError("it is not there: $uri")

private fun orientation(stream: java.io.InputStream): Int {
    val found = try {
        ExifInterface(stream).getAttributeInt(ExifInterface.TAG_ORIENTATION, 1)
    } catch (error: IOException) {
        1 // unreadable EXIF: no orientation
    }
    return if (found in 1..8) found else 1
}

/** A bitmap for a processor. */
fun pictureOf(bitmap: Bitmap, orientation: Int = 1): Picture {
    val plain = bitmap.colorSpace?.isSrgb ?: true
    // `getPixels` converts from any other colour space to sRGB, which no other twin of the processor does.
    if (plain || bitmap.config != Bitmap.Config.ARGB_8888) return BitmapPicture(bitmap, orientation)
    val values = ByteBuffer.allocate(bitmap.byteCount).also { bitmap.copyPixelsToBuffer(it) }
    return Pixels(bitmap.height, bitmap.width, 4, values.array(), orientation)
}

/** Reads a bitmap a row or a column at a time: it may be of any size, and is in memory once. */
private class BitmapPicture(private val bitmap: Bitmap, orientation: Int) : Picture(bitmap.height, bitmap.width, 4, orientation) {
    private val line = IntArray(maxOf(bitmap.height, bitmap.width))

    override fun row(number: Int, into: IntArray) {
        bitmap.getPixels(line, 0, width, 0, number, width, 1)
        split(width, into)
    }

    override fun column(number: Int, into: IntArray) {
        bitmap.getPixels(line, 0, 1, number, 0, 1, height)
        split(height, into)
    }

    private fun split(count: Int, into: IntArray) {
        for (at in 0 until count) {
            val colour = line[at]
            into[4 * at] = colour shr 16 and 0xff
            into[4 * at + 1] = colour shr 8 and 0xff
            into[4 * at + 2] = colour and 0xff
            into[4 * at + 3] = colour ushr 24
        }
    }
}

/** The pictures to try the model with: its golden inputs, which `edgestill export-android` drew. */
fun readSamples(assets: AssetManager, folder: String): List<Bitmap> =
    (assets.list(folder) ?: arrayOf()).sorted().map { name -> assets.open("$folder/$name").use { BitmapFactory.decodeStream(it) } }

/** Pixels of a sample: those that have the model's size already are what it takes, as in Python. */
fun samplePixels(sample: Bitmap, processor: Processor): ByteArray {
    if (sample.width == processor.width && sample.height == processor.height) {
        val colours = IntArray(sample.width * sample.height).also { sample.getPixels(it, 0, sample.width, 0, 0, sample.width, sample.height) }
        return ByteArray(processor.count) { at ->
            val colour = colours[at / processor.channels]
            val (red, green, blue) = Triple(colour shr 16 and 0xff, colour shr 8 and 0xff, colour and 0xff)
            (if (processor.channels == 1) grey(red, green, blue) else intArrayOf(red, green, blue)[at % 3]).toByte()
        }
    }
    return pixelsOf(sample, processor)
}

/** A negative: for a model that was trained on white things on black. */
fun inverted(pixels: ByteArray) = ByteArray(pixels.size) { pixels[it].toInt().inv().toByte() }

/** What the model sees, to be shown: the same pixels as a bitmap. */
fun bitmapOf(pixels: ByteArray, size: Processor): Bitmap {
    val colours = IntArray(size.width * size.height) { place ->
        val part = { channel: Int -> pixels[place * size.channels + if (size.channels == 1) 0 else channel].toInt() and 0xff }
        0xff shl 24 or (part(0) shl 16) or (part(1) shl 8) or part(2)
    }
    return Bitmap.createBitmap(colours, size.width, size.height, Bitmap.Config.ARGB_8888)
}
