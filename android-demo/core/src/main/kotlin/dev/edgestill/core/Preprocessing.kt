package dev.edgestill.core

import java.nio.ByteBuffer
import java.nio.ByteOrder

/**
 * Raw pixels → tensor: `(pixel / 255 - mean) / std` per channel, as a table of 256 values, so that there is nothing left
 * to round differently from the Python runtime.
 *
 * @property mean one value per channel, in units of the full pixel range (0–1). std: likewise, above 0.
 */
data class Preprocessing(val height: Int, val width: Int, val mean: List<Double>, val std: List<Double>) {
    init {
        if (mean.size != std.size || mean.isEmpty()) throw InputError("mean $mean and std $std need one value per channel each")
        if (std.min() <= 0) throw InputError("std $std must be greater than 0 in every channel")
    }

    /** 1 for grey, 3 for RGB. */
    val channels: Int get() = mean.size

    /** Tensor value of each pixel value, for each channel. */
    fun table(): List<FloatArray> =
        List(channels) { channel -> FloatArray(256) { ((it / 255.0 - mean[channel]) / std[channel]).toFloat() } }

    /**
     * The bytes that a model file takes, for one image.
     *
     * @param pixels uint8, height × width × channels. spec: the file's input.
     * @return direct, in the machine's own order of bytes, at position 0.
     * @throws InputError another number of pixels, or an input that holds no image.
     */
    fun tensor(pixels: ByteArray, spec: TensorSpec): ByteBuffer {
        if (pixels.size != height * width * channels) {
            throw InputError("an image has ${pixels.size} values; the model takes $height × $width × $channels")
        }
        if (spec.count != pixels.size || spec.layout == null) throw InputError("${spec.name} (${spec.shape}) takes no image")
        val table = table()
        val place = if (spec.layout == "NCHW") ::channelsFirst else ::channelsLast
        return when (spec.dtype) {
            "float32" -> {
                val buffer = ByteBuffer.allocateDirect(4 * pixels.size).order(ByteOrder.nativeOrder())
                val numbers = buffer.asFloatBuffer()
                for (index in pixels.indices) {
                    numbers.put(place(index), table[index % channels][pixels[index].toInt() and 0xff])
                }
                buffer
            }
            "int8" -> {
                val scale = spec.scale ?: throw InputError("an int8 input without a scale; make the bundle again")
                val quantised = table.map { row -> ByteArray(256) { quantise(row[it], scale, spec.zeroPoint ?: 0) } }
                val buffer = ByteBuffer.allocateDirect(pixels.size).order(ByteOrder.nativeOrder())
                for (index in pixels.indices) {
                    buffer.put(place(index), quantised[index % channels][pixels[index].toInt() and 0xff])
                }
                buffer
            }
            else -> throw InputError("an image cannot become ${spec.dtype}")
        }
    }

    private fun channelsLast(index: Int) = index

    private fun channelsFirst(index: Int) = index % channels * height * width + index / channels
}

/**
 * `clip(round_half_even(x / scale) + zero_point)` in int8: the reciprocal in float32, then a product, which is the order
 * of operations of PyTorch and XNNPACK.
 */
fun quantise(value: Float, scale: Float, zeroPoint: Int): Byte {
    val inverse = 1.0f / scale
    val steps = Math.rint((value * inverse).toDouble()).toFloat() + zeroPoint
    return steps.coerceIn(-128f, 127f).toInt().toByte()
}
