package dev.edgestill.core

/** Root of all errors that are meant to be read by a person; the names are those of the Python runtime. */
open class EdgestillError(message: String, cause: Throwable? = null) : Exception(message, cause)

/** A bundle cannot be trusted or read. */
open class BundleError(message: String, cause: Throwable? = null) : EdgestillError(message, cause)

/** There is no bundle, or its manifest is one that this version does not understand. */
class BundleFormatError(message: String, cause: Throwable? = null) : BundleError(message, cause)

/** Files differ from the manifest. */
class BundleIntegrityError(
    place: String,
    val changed: List<String> = listOf(),
    val missing: List<String> = listOf(),
    val extra: List<String> = listOf(),
) : BundleError(
    "bundle $place does not match its manifest (" +
        listOf("changed" to changed, "missing" to missing, "extra" to extra)
            .filter { it.second.isNotEmpty() }
            .joinToString("; ") { (word, names) -> "$word: ${names.sorted().joinToString()}" } +
        "). Copy it again from where it was made.",
)

/** An engine is not installed, or refused a file or an input. */
class EngineError(message: String, cause: Throwable? = null) : EdgestillError(message, cause)

/** An input does not fit the model. */
class InputError(message: String) : EdgestillError(message)
