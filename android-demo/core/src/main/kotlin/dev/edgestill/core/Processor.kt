package dev.edgestill.core

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Largest height or width of a model's input. */
const val MAX_SIZE = 1 shl 14

/**
 * Preprocessing: a photo or a recording → the input tensor of a model, with the arithmetic of
 * `edgestill_runtime.processing`, equal to the last bit.
 *
 * Two steps. Pixels, uint8 (height, width, channels), are made by [ImageProcessor.pixels] and [AudioProcessor.pixels].
 * The tensor is `(pixel / 255 - mean) / std` per channel, as a table of 256 values, so that there is nothing left to
 * round differently.
 */
sealed class Processor {
    abstract val height: Int
    abstract val width: Int

    /** One value per channel, in units of the full pixel range (0–1); [std] above 0. */
    abstract val mean: List<Double>
    abstract val std: List<Double>

    /** 1 for grey, 3 for RGB. */
    val channels: Int get() = mean.size

    /** Values of one image. */
    val count: Int get() = height * width * channels

    /** @throws InputError a size or a statistic that no processor has. */
    protected fun check() {
        if (height !in 1..MAX_SIZE || width !in 1..MAX_SIZE) throw InputError("height $height and width $width must be 1 to $MAX_SIZE")
        if (mean.size != std.size || mean.isEmpty()) throw InputError("mean $mean and std $std need one value per channel each")
        if (!(mean + std).all { it.isFinite() }) throw InputError("mean $mean and std $std must be finite")
        if (std.min() <= 0) throw InputError("std $std must be greater than 0 in every channel")
    }

    /** Tensor value of each pixel value, for each channel. */
    private fun table(): List<FloatArray> =
        List(channels) { channel -> FloatArray(256) { ((it / 255.0 - mean[channel]) / std[channel]).toFloat() } }

    /**
     * Converts pixels to the bytes of a model file's input. Create it once: its tables hold all of the arithmetic.
     *
     * It takes one image, uint8, height × width × channels, and returns a buffer that is direct, in the machine's own order
     * of bytes, at position 0; [InputError] for another number of pixels.
     *
     * @param spec the file's input. @throws InputError an input that holds no image.
     */
    fun converter(spec: TensorSpec): (ByteArray) -> ByteBuffer {
        if (spec.count != count || spec.layout == null) throw InputError("${spec.name} (${spec.shape}) takes no image")
        val place = if (spec.layout == "NCHW") ::channelsFirst else ::channelsLast
        return when (spec.dtype) {
            "float32" -> floats(place)
            "int8" -> integers(place, spec.scale ?: throw InputError("an int8 input without a scale; make the bundle again"), spec.zeroPoint ?: 0)
            else -> throw InputError("an image cannot become ${spec.dtype}")
        }
    }

    private fun floats(place: (Int) -> Int): (ByteArray) -> ByteBuffer {
        val table = table()
        return { pixels ->
            val made = buffer(4, pixels)
            val numbers = made.asFloatBuffer()
            for (index in pixels.indices) numbers.put(place(index), table[index % channels][pixels[index].toInt() and 0xff])
            made
        }
    }

    private fun integers(place: (Int) -> Int, scale: Float, zeroPoint: Int): (ByteArray) -> ByteBuffer {
        val table = table().map { row -> ByteArray(256) { quantize(row[it], scale, zeroPoint) } }
        return { pixels ->
            val made = buffer(1, pixels)
            for (index in pixels.indices) made.put(place(index), table[index % channels][pixels[index].toInt() and 0xff])
            made
        }
    }

    private fun buffer(bytes: Int, pixels: ByteArray): ByteBuffer {
        if (pixels.size != count) throw InputError("an image has ${pixels.size} values; the model takes $height × $width × $channels")
        return ByteBuffer.allocateDirect(bytes * pixels.size).order(ByteOrder.nativeOrder())
    }

    private fun channelsLast(index: Int) = index

    private fun channelsFirst(index: Int) = index % channels * height * width + index / channels
}

/**
 * `clip(round_half_even(x / scale) + zero_point)` in int8: the reciprocal in float32, then a product, which is the order
 * of operations of PyTorch and XNNPACK.
 */
fun quantize(value: Float, scale: Float, zeroPoint: Int): Byte {
    val inverse = 1.0f / scale
    val steps = Math.rint((value * inverse).toDouble()).toFloat() + zeroPoint
    return steps.coerceIn(-128f, 127f).toInt().toByte()
}
