package dev.edgestill.core

/**
 * Preprocessing of images. In this order: turned as EXIF says, 16 bits → the upper 8, what is
 * transparent laid over [ground], to the model's colours, resized.
 *
 * @property resize `crop` uses the largest centered part with the model's aspect ratio; `letterbox` all of it,
 *   with bars of [fill] at the sides; `stretch` all of it, with other proportions.
 * @property filter `bilinear` or `bicubic`, antialiased.
 * @property cropShare with `crop`, the share of that part's sides that is kept, above 0 to 1.
 * @property ground 0–255, the grey on which transparent images are laid. fill: 0–255, of the bars.
 */
data class ImageProcessor(
    override val height: Int,
    override val width: Int,
    override val mean: List<Double>,
    override val std: List<Double>,
    val resize: String = "crop",
    val filter: String = "bilinear",
    val cropShare: Double = 1.0,
    val ground: Int = 255,
    val fill: Int = 114,
) : Processor() {
    init {
        check()
        if (channels != 1 && channels != 3) throw InputError("an image has 1 (grey) or 3 (RGB) channels; mean and std have $channels values")
        for ((name, value, valid) in listOf(Triple("resize", resize, RESIZES), Triple("filter", filter, FILTERS.keys.toList()))) {
            if (value !in valid) throw InputError("$name must be one of ${valid.joinToString()}, not '${value.take(40)}'")
        }
        if (!(cropShare > 0 && cropShare <= 1)) throw InputError("crop_share must be above 0 and at most 1, not $cropShare")
        for ((name, level) in listOf("ground" to ground, "fill" to fill)) {
            if (level !in 0..255) throw InputError("$name must be 0 to 255, not $level")
        }
    }

    /** An image of any size in the model's size and colours: uint8, height × width × channels. */
    fun pixels(picture: Picture): ByteArray {
        val upright = Upright(picture)
        val row = IntArray(upright.width * upright.channels)
        val source = Rows(upright.height, upright.width, channels) { number, into ->
            upright.row(number, row)
            colours(row, upright.channels, upright.width, into)
        }
        val whole = Box(0.0, 0.0, source.width.toDouble(), source.height.toDouble())
        return when (resize) {
            "stretch" -> resized(source, height, width, whole, filter)
            "crop" -> resized(source, height, width, middle(source), filter)
            else -> letterboxed(source, whole)
        }
    }

    /** A row, laid over [ground] and in the model's colours. */
    private fun colours(row: IntArray, given: Int, width: Int, into: IntArray) {
        val alpha = given == 2 || given == 4
        val plain = if (alpha) given - 1 else given
        for (pixel in 0 until width) {
            val at = pixel * given
            if (alpha) {
                val share = row[at + plain]
                for (channel in 0 until plain) row[at + channel] = (row[at + channel] * share + ground * (255 - share) + 127) / 255
            }
            if (channels == 1) {
                into[pixel] = if (plain == 1) row[at] else grey(row[at], row[at + 1], row[at + 2])
            } else {
                for (channel in 0..2) into[3 * pixel + channel] = row[at + if (plain == 1) 0 else channel]
            }
        }
    }

    /** The longer side is the model's, the other one rounded to the nearest, half upwards: whole numbers throughout. */
    private fun letterboxed(source: Rows, whole: Box): ByteArray {
        val (high, wide) = source.height.toLong() to source.width.toLong()
        val flat = wide * height >= high * width
        val innerHeight = if (flat) maxOf(1, (2 * high * width + wide) / (2 * wide)).toInt() else height
        val innerWidth = if (flat) width else maxOf(1, (2 * wide * height + high) / (2 * high)).toInt()
        val inner = resized(source, innerHeight, innerWidth, whole, filter)
        val result = ByteArray(count).apply { fill(fill.toByte()) }
        val (top, left) = (height - innerHeight) / 2 to (width - innerWidth) / 2
        for (row in 0 until innerHeight) {
            inner.copyInto(result, ((top + row) * width + left) * channels, row * innerWidth * channels, (row + 1) * innerWidth * channels)
        }
        return result
    }

    private fun middle(source: Rows): Box {
        val given = source.width.toDouble() / source.height
        val wanted = width.toDouble() / height
        var (across, down) = source.width.toDouble() to source.height.toDouble()
        if (given > wanted) across = wanted * source.height else if (given < wanted) down = source.width / wanted
        across *= cropShare
        down *= cropShare
        val (left, top) = (source.width - across) * 0.5 to (source.height - down) * 0.5
        return Box(left, top, left + across, top + down)
    }

    private companion object {
        val RESIZES = listOf("crop", "letterbox", "stretch")
    }
}

/** Grey of red, green and blue (each 0–255): ITU-R 601-2 in whole numbers, rounded as Pillow's `convert("L")` rounds. */
fun grey(red: Int, green: Int, blue: Int): Int = (19595 * red + 38470 * green + 7471 * blue + 0x8000) shr 16
