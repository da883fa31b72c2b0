package dev.edgestill.core

import java.math.BigDecimal
import java.math.MathContext
import java.math.RoundingMode
import java.text.DecimalFormatSymbols
import java.util.Locale

// Numbers and values in words, as Python writes them: the same message, and the same digits, on every device.

private const val REPR_EXPONENT = 16

/** So many significant digits, without zeros at the end: Python's `format(value, ".4g")`, ties to even. */
fun significant(value: Double, digits: Int): String {
    if (!value.isFinite()) return odd(value)
    if (value == 0.0) return if (1 / value < 0) "-0" else "0"
    return plain(BigDecimal(value).round(MathContext(digits, RoundingMode.HALF_EVEN)), digits)
}

/** So many decimals: Python's `format(value, ".2f")`, ties to even. */
fun fixed(value: Double, decimals: Int): String {
    if (!value.isFinite()) return odd(value)
    val text = BigDecimal(value).setScale(decimals, RoundingMode.HALF_EVEN).toPlainString()
    return if (1 / value < 0 && !text.startsWith('-')) "-$text" else text
}

/** A number of [significant] or [fixed] with the decimal separator of a language. */
fun localized(number: String, locale: Locale): String = number.replace('.', DecimalFormatSymbols.getInstance(locale).decimalSeparator)

/** A value of JSON as Python's `repr` shows it in messages. */
internal fun repr(value: Any?): String =
    when (value) {
        null -> "None"
        true -> "True"
        false -> "False"
        is String -> quoted(value)
        is JsonNumber -> if (value.whole) BigDecimal(value.text).toPlainString() else repr(value.toDouble())
        is Double -> real(value)
        is List<*> -> value.joinToString(", ", "[", "]") { repr(it) }
        is Map<*, *> -> value.entries.joinToString(", ", "{", "}") { "${repr(it.key)}: ${repr(it.value)}" }
        else -> value.toString()
    }

/** Sizes as Python shows a tuple: `(3, 4)`, `(3,)`. */
internal fun tuple(sizes: List<Int>): String = if (sizes.size == 1) "(${sizes.single()},)" else sizes.joinToString(", ", "(", ")")

private fun quoted(text: String): String {
    val quote = if ('\'' in text && '"' !in text) '"' else '\''
    val inside = text.map { one ->
        when {
            one == quote || one == '\\' -> "\\$one"
            one == '\n' -> "\\n"
            one == '\r' -> "\\r"
            one == '\t' -> "\\t"
            one < ' ' || one in '\u007f'..'\u00a0' || one == '\u00ad' -> "\\x%02x".format(one.code)
            else -> one.toString()
        }
    }
    return inside.joinToString("", quote.toString(), quote.toString())
}

private fun real(value: Double): String {
    if (!value.isFinite()) return odd(value)
    if (value == 0.0) return if (1 / value < 0) "-0.0" else "0.0"
    val text = plain(BigDecimal(value.toString()), REPR_EXPONENT)
    return if (text.none { it in ".e" }) "$text.0" else text
}

/** Without an exponent where it is from -4 to below [most], as C's `%g` has it. */
private fun plain(number: BigDecimal, most: Int): String {
    val short = number.stripTrailingZeros()
    val exponent = short.precision() - short.scale() - 1
    if (exponent in -4 until most) return short.toPlainString()
    val digits = short.unscaledValue().abs().toString()
    val mantissa = if (digits.length == 1) digits else "${digits[0]}.${digits.drop(1)}"
    return "${if (short.signum() < 0) "-" else ""}${mantissa}e${if (exponent < 0) "-" else "+"}${Math.abs(exponent).toString().padStart(2, '0')}"
}

private fun odd(value: Double) = if (value.isNaN()) "nan" else if (value > 0) "inf" else "-inf"
