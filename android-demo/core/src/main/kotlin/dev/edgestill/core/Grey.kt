package dev.edgestill.core

/**
 * Grey of red, green and blue (each 0–255): ITU-R 601-2 in whole numbers, rounded as Pillow's `convert("L")` rounds.
 */
fun grey(red: Int, green: Int, blue: Int): Int = (19595 * red + 38470 * green + 7471 * blue + 0x8000) shr 16

/**
 * Pixels of an image as a model takes them, from the `0xAARRGGBB` of a picture of its size.
 *
 * @return uint8, height × width × channels, of 1 (grey) or 3 (RGB) channels.
 * @throws InputError another number of channels.
 */
fun pixels(colours: IntArray, channels: Int): ByteArray {
    if (channels != 1 && channels != 3) throw InputError("a picture has 1 or 3 channels; the model takes $channels")
    return ByteArray(colours.size * channels) { index ->
        val colour = colours[index / channels]
        val (red, green, blue) = Triple(colour shr 16 and 0xff, colour shr 8 and 0xff, colour and 0xff)
        (if (channels == 1) grey(red, green, blue) else intArrayOf(red, green, blue)[index % 3]).toByte()
    }
}
