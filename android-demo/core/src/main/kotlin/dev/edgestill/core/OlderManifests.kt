package dev.edgestill.core

import dev.edgestill.core.tasks.ImageClassification
import dev.edgestill.core.tasks.Tensors

/**
 * Upgrades a manifest of an older format version. Invalid values are kept: the parser refuses them.
 *
 * Version 2 called the processor `preprocessing`, and had it for images alone. Version 3 knew one task and its accuracy,
 * called a classifier without class names `tensors`, and `float_nodes` `kept_float`.
 */
internal fun ofToday(data: Map<*, *>, version: Long): Map<*, *> {
    if (version >= 4) return data
    val found = data.toMutableMap()
    if (version == 2L) found["processor"] = found.remove("preprocessing")
    val models = found["models"]
    if (models is Map<*, *>) {
        found["models"] = models.mapValues { entryOfToday(it.value) }
        if (found["task"] == Tensors.name && found["processor"] != null && scoresClasses(models)) found["task"] = ImageClassification.name
    }
    val shares = if ("accuracy" in found) found.remove("accuracy") else mapOf<String, Any?>()
    found["quality"] = (shares as? Map<*, *>)?.filterValues { it != null }?.mapValues { mapOf("accuracy" to it.value) } ?: shares
    return found
}

private fun entryOfToday(entry: Any?): Any? {
    if (entry !is Map<*, *>) return entry
    val found = entry.toMutableMap()
    if ("accuracy" in found) found["quality"] = found.remove("accuracy")?.let { mapOf("accuracy" to it) } ?: mapOf<String, Any?>()
    if ("kept_float" in found) found["float_nodes"] = found.remove("kept_float")
    return found
}

/** Whether every file has one output (N, classes) with more than one class, which is all the app required. */
private fun scoresClasses(models: Map<*, *>): Boolean =
    models.values.all { entry ->
        val output = ((entry as? Map<*, *>)?.get("outputs") as? List<*>)?.singleOrNull() as? Map<*, *>
        val shape = output?.get("shape") as? List<*>
        shape?.size == 2 && ((shape[1] as? JsonNumber)?.toDouble() ?: 0.0) > 1
    }
