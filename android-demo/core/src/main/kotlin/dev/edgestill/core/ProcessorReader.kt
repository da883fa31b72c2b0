package dev.edgestill.core

private val BASE = listOf("height", "width", "mean", "std")
private val IMAGE = BASE + listOf("resize", "filter", "crop_share", "ground", "fill")
private val AUDIO = BASE + listOf("rate", "seconds", "window", "step", "lowest", "decibels")
private const val EXACT = 1L shl 53

/**
 * The processor that Python's `Processor.to_json` wrote, as strictly as Python reads it: no field that is unknown,
 * missing, or of another type. Data without a kind is an older version's, which was for images.
 *
 * @throws InputError it is not as it must be.
 */
fun readProcessor(data: Map<*, *>): Processor =
    when (val kind = if ("kind" in data) data["kind"] else "image") {
        "image" -> image(Read(data, IMAGE))
        "audio" -> audio(Read(data, AUDIO))
        else -> throw InputError("kind must be one of image, audio, not ${kind.toString().take(40)}")
    }

private fun image(read: Read) =
    ImageProcessor(
        read.whole("height"), read.whole("width"), read.numbers("mean"), read.numbers("std"),
        resize = read.text("resize", "crop"),
        filter = read.text("filter", "bilinear"),
        cropShare = read.number("crop_share", 1.0),
        ground = read.whole("ground", 255),
        fill = read.whole("fill", 114),
    )

private fun audio(read: Read) =
    AudioProcessor(
        read.whole("height"), read.whole("width"), read.numbers("mean"), read.numbers("std"),
        rate = read.whole("rate", 16000),
        seconds = read.number("seconds", 1.0),
        window = read.number("window", 0.032),
        step = read.number("step", 0.016),
        lowest = read.number("lowest", 20.0),
        decibels = read.number("decibels", 80.0),
    )

/** Fields of a JSON object, each only as what it must be; those with a default may be left out. */
private class Read(private val data: Map<*, *>, known: List<String>) {
    init {
        val unknown = data.keys.map { it.toString() }.filter { it !in known && it != "kind" }.minOrNull()
        if (unknown != null) throw InputError("it has the unknown field '${unknown.take(60)}'; a newer edgestill may know it")
        BASE.firstOrNull { it !in data }?.let { throw InputError("$it is missing") }
    }

    private fun bad(key: String, what: String): Nothing = throw InputError("$key must be $what, not ${data[key].toString().take(40)}")

    fun text(key: String, default: String): String = if (key in data) data[key] as? String ?: bad(key, "text") else default

    fun whole(key: String, default: Int = 0): Int {
        if (key !in data) return default
        val number = (data[key] as? JsonNumber)?.takeIf { it.whole } ?: bad(key, "a whole number")
        // Larger than any valid value; the processor checks the range of each field.
        return number.toLong()?.coerceIn(Int.MIN_VALUE.toLong(), Int.MAX_VALUE.toLong())?.toInt() ?: Int.MAX_VALUE
    }

    fun number(key: String, default: Double): Double = if (key in data) real(data[key]) ?: bad(key, "a number") else default

    fun numbers(key: String): List<Double> =
        (data[key] as? List<*>)?.takeIf { it.size <= 16 }?.map { real(it) ?: bad(key, "a list of numbers") } ?: bad(key, "a list of at most 16 numbers")

    /** Whole numbers as well, as far as a double holds them exactly. */
    private fun real(value: Any?): Double? {
        val number = value as? JsonNumber ?: return null
        if (number.whole && number.toLong().let { it == null || it <= -EXACT || it >= EXACT }) return null
        return number.toDouble()
    }
}
