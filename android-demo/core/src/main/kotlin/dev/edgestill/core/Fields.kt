package dev.edgestill.core

internal const val MAX_FILES = 64
private val LARGEST_WHOLE = Math.pow(2.0, 1023.0)

/** A JSON object that knows where it stands and hands out its fields only as what they must be. */
internal class Fields(data: Any?, val place: String) {
    val data: Map<*, *> = data as? Map<*, *> ?: throw IllegalArgumentException("${place.ifEmpty { "it" }} must be an object")

    private fun bad(key: String, what: String): Nothing {
        if (key !in data) throw IllegalArgumentException("$place$key is missing")
        throw IllegalArgumentException("$place$key must be $what, not ${repr(data[key]).take(40)}")
    }

    fun has(key: String) = key in data

    fun isNull(key: String) = data[key] == null

    fun text(key: String): String = data[key] as? String ?: bad(key, "text")

    fun truth(key: String): Boolean = data[key] as? Boolean ?: bad(key, "true or false")

    fun list(key: String): List<*> = data[key] as? List<*> ?: bad(key, "a list")

    fun map(key: String): Map<*, *> = data[key] as? Map<*, *> ?: bad(key, "an object")

    fun whole(key: String): Long = (data[key] as? JsonNumber)?.toLong() ?: bad(key, "a whole number")

    /** A whole number is a real one as well, as far as Python's is a float. */
    fun real(key: String): Double {
        val number = data[key] as? JsonNumber
        val most = if (number?.whole == true) Math.nextDown(LARGEST_WHOLE) else Double.MAX_VALUE
        return number?.toDouble()?.takeIf { Math.abs(it) <= most } ?: bad(key, "a finite number")
    }

    fun count(key: String, least: Long = 0, most: Long = 1L shl 60): Long {
        val number = whole(key)
        require(number in least..most) { "$place$key must be $least to $most, not $number" }
        return number
    }

    fun share(key: String): Double? {
        val number = if (isNull(key)) return null else real(key)
        require(number in 0.0..1.0) { "$place$key must be 0 to 1, not ${repr(number)}" }
        return number
    }

    fun choice(key: String, valid: List<String>): String {
        val word = text(key)
        require(word in valid) { "$place$key must be one of ${valid.joinToString()}, not ${repr(word).take(40)}" }
        return word
    }

    /** All of its fields, which are names and finite numbers. */
    fun numbers(): Map<String, Double> {
        require(data.size <= MAX_FILES) { "${place.dropLast(1)} has more than $MAX_FILES entries" }
        return data.keys.associate { (it as String) to real(it) }
    }

    fun <T> each(key: String, most: Int, read: Fields.(String) -> T): List<T> {
        val values = list(key)
        require(values.size <= most) { "$place$key has more than $most entries" }
        return values.map { Fields(mapOf(key to it), place).read(key) }
    }

    fun items(key: String): List<Pair<String, Fields>> {
        val found = map(key)
        require(found.size <= MAX_FILES) { "$place$key has more than $MAX_FILES entries" }
        return found.map { (name, entry) -> (name as String) to Fields(entry, "$place$key.${name.take(60)}.") }
    }
}
