package dev.edgestill.demo

import android.content.ContentResolver
import android.content.res.AssetManager
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Matrix
import android.media.ExifInterface
import android.net.Uri
import dev.edgestill.core.InputError
import dev.edgestill.core.Preprocessing
import dev.edgestill.core.pixels
import java.io.IOException
import kotlin.math.max
import kotlin.math.min

/** Longest side of a picture that is kept to be shown, pixels. */
private const val SHOWN = 1024

/**
 * A picture from the gallery or the camera, upright, at most [SHOWN] pixels long.
 *
 * @throws InputError it cannot be read.
 */
fun readPicture(resolver: ContentResolver, uri: Uri): Bitmap {
    try {
        val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        open(resolver, uri).use { BitmapFactory.decodeStream(it, null, bounds) }
        val half = BitmapFactory.Options().apply { inSampleSize = max(1, max(bounds.outWidth, bounds.outHeight) / SHOWN) }
        val bitmap = open(resolver, uri).use { BitmapFactory.decodeStream(it, null, half) } ?: throw InputError("this is no picture")
        val turned = open(resolver, uri).use { ExifInterface(it).rotationDegrees() }
        if (turned == 0) return bitmap
        return Bitmap.createBitmap(bitmap, 0, 0, bitmap.width, bitmap.height, Matrix().apply { postRotate(turned.toFloat()) }, true)
    } catch (error: IOException) {
        throw InputError("the picture cannot be read: ${error.message}")
    } catch (error: SecurityException) {
        throw InputError("the picture may not be read: ${error.message}")
    }
}

private fun open(resolver: ContentResolver, uri: Uri) = resolver.openInputStream(uri) ?: throw InputError("the picture is not there")

private fun ExifInterface.rotationDegrees() =
    when (getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL)) {
        ExifInterface.ORIENTATION_ROTATE_90 -> 90
        ExifInterface.ORIENTATION_ROTATE_180 -> 180
        ExifInterface.ORIENTATION_ROTATE_270 -> 270
        else -> 0
    }

/** The pictures to try the model with. */
fun readSamples(assets: AssetManager): List<Bitmap> =
    (assets.list(SAMPLES) ?: arrayOf()).sorted().map { name -> assets.open("$SAMPLES/$name").use { BitmapFactory.decodeStream(it) } }

/**
 * The middle of a picture in the size that the model takes.
 *
 * Halved until it is near enough: scaling down in one step would look at one pixel in a hundred.
 */
fun fit(bitmap: Bitmap, size: Preprocessing): Bitmap {
    if (bitmap.width == size.width && bitmap.height == size.height) return bitmap
    val scale = min(bitmap.width.toDouble() / size.width, bitmap.height.toDouble() / size.height)
    val (width, height) = listOf(size.width, size.height).map { max(1, (it * scale).toInt()) }
    var cut = Bitmap.createBitmap(bitmap, (bitmap.width - width) / 2, (bitmap.height - height) / 2, width, height)
    while (cut.width >= 2 * size.width && cut.height >= 2 * size.height) {
        cut = Bitmap.createScaledBitmap(cut, cut.width / 2, cut.height / 2, true)
    }
    return Bitmap.createScaledBitmap(cut, size.width, size.height, true)
}

/** Pixels of a fitted picture as the model takes them: uint8, height × width × channels; [inverted] for a negative. */
fun pixelsOf(fitted: Bitmap, size: Preprocessing, inverted: Boolean): ByteArray {
    val colours = IntArray(size.width * size.height)
    fitted.getPixels(colours, 0, size.width, 0, 0, size.width, size.height)
    val plain = pixels(colours, size.channels)
    return if (inverted) ByteArray(plain.size) { plain[it].toInt().inv().toByte() } else plain
}

/** What the model sees, to be shown: the same pixels as a bitmap. */
fun bitmapOf(pixels: ByteArray, size: Preprocessing): Bitmap {
    val colours = IntArray(size.width * size.height) { place ->
        val part = { channel: Int -> pixels[place * size.channels + if (size.channels == 1) 0 else channel].toInt() and 0xff }
        0xff shl 24 or (part(0) shl 16) or (part(1) shl 8) or part(2)
    }
    return Bitmap.createBitmap(colours, size.width, size.height, Bitmap.Config.ARGB_8888)
}
