package dev.edgestill.demo

import android.content.res.AssetManager
import dev.edgestill.core.BundleFormatError
import dev.edgestill.core.Store
import dev.edgestill.core.readAtMost

/** A bundle in the app's own assets, as `edgestill export-android` puts it there. */
class AssetStore(private val assets: AssetManager, private val folder: String) : Store {
    override val place: String get() = "assets/$folder"

    override fun names(): List<String> =
        below(folder).map { it.removePrefix("$folder/") }.ifEmpty { throw BundleFormatError("$place does not exist; make it with edgestill export-android") }

    /** Files in a folder of the assets; those of its folders as well. */
    private fun below(path: String): List<String> =
        assets.list(path).orEmpty().map { "$path/$it" }.flatMap { below(it).ifEmpty { listOf(it) } }

    override fun read(name: String, most: Long): ByteArray = assets.open("$folder/$name").use { it.readAtMost(most) }
}
