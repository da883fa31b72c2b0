package dev.edgestill.core

import com.google.gson.Strictness
import com.google.gson.stream.JsonReader
import com.google.gson.stream.JsonToken
import java.io.Reader
import java.math.BigDecimal

/** A number with its text, which shows whether it is an integer. */
data class JsonNumber(val text: String) {
    val whole: Boolean get() = text.none { it in ".eE" }

    /** Infinite for a number that is too large, such as 1e999. */
    fun toDouble(): Double = text.toDouble()

    /** Null when it is no whole number, or one of more than 64 bits. */
    fun toLong(): Long? = if (whole) runCatching { BigDecimal(text).longValueExact() }.getOrNull() else null
}

/**
 * JSON (RFC 8259) as plain Kotlin: Map, List, String, [JsonNumber], Boolean, null.
 *
 * Keys must differ: of two equal ones, two readers may believe two.
 *
 * @throws IllegalArgumentException it is no JSON, is nested too deeply, or has a duplicate key.
 */
fun readJson(text: Reader): Any? {
    val reader = JsonReader(text)
    reader.strictness = Strictness.STRICT
    reader.nestingLimit = 100
    try {
        val value = readValue(reader)
        require(reader.peek() == JsonToken.END_DOCUMENT) { "something follows the JSON" }
        return value
    } catch (error: java.io.IOException) {
        throw IllegalArgumentException("it is no JSON: ${error.message?.lineSequence()?.first()}", error)
    } catch (error: IllegalStateException) {
        throw IllegalArgumentException("it is no JSON: ${error.message?.lineSequence()?.first()}", error)
    }
}

private fun readValue(reader: JsonReader): Any? =
    when (reader.peek()) {
        JsonToken.BEGIN_OBJECT -> readObject(reader)
        JsonToken.BEGIN_ARRAY -> readArray(reader)
        JsonToken.STRING -> reader.nextString()
        JsonToken.NUMBER -> JsonNumber(reader.nextString())
        JsonToken.BOOLEAN -> reader.nextBoolean()
        else -> reader.nextNull().let { null }
    }

private fun readObject(reader: JsonReader): Map<String, Any?> {
    val found = LinkedHashMap<String, Any?>()
    reader.beginObject()
    while (reader.hasNext()) {
        val key = reader.nextName()
        require(key !in found) { "it says '${key.take(60)}' twice" }
        found[key] = readValue(reader)
    }
    reader.endObject()
    return found
}

private fun readArray(reader: JsonReader): List<Any?> {
    val found = ArrayList<Any?>()
    reader.beginArray()
    while (reader.hasNext()) found.add(readValue(reader))
    reader.endArray()
    return found
}
