package dev.edgestill.core

import java.io.File
import java.io.IOException
import java.security.MessageDigest

const val MANIFEST = "manifest.json"
const val SIGNATURE = "signature.json"
private const val DEEPEST = 10 // folders below each other, more than any bundle has: a link may lead back to where it is

/** Where a bundle's files are: a folder, or an app's assets. */
interface Store {
    /** What to call it in messages. */
    val place: String

    /** Of all files, as paths with `/`. */
    fun names(): List<String>

    /** Content of one; of a longer one, the first `most + 1` bytes. */
    @Throws(IOException::class)
    fun read(name: String, most: Long): ByteArray
}

/** A bundle as a plain folder. */
class FolderStore(private val folder: File) : Store {
    override val place: String get() = folder.path

    override fun names(): List<String> {
        if (!folder.isDirectory) throw BundleFormatError("$place is no folder, so it is no bundle")
        return folder.walkTopDown().maxDepth(DEEPEST).filter { !it.isDirectory }.map { it.relativeTo(folder).invariantSeparatorsPath }.toList()
    }

    override fun read(name: String, most: Long): ByteArray = File(folder, name).inputStream().use { it.readAtMost(most) }
}

/** Reads up to `most + 1` bytes, so that a file longer than stated is detected. */
fun java.io.InputStream.readAtMost(most: Long): ByteArray {
    val found = java.io.ByteArrayOutputStream()
    val piece = ByteArray(1 shl 16)
    while (found.size() <= most) {
        val count = read(piece, 0, minOf(piece.size.toLong(), most + 1 - found.size()).toInt())
        if (count < 0) break
        found.write(piece, 0, count)
    }
    return found.toByteArray()
}

/**
 * An opened bundle: its names and its manifest were looked at; a file is checked when it is read, and an engine is given
 * exactly the bytes that were checked.
 */
class Bundle private constructor(
    private val store: Store,
    val manifest: Manifest,
    val files: Map<String, FileEntry>,
    /** `sha256:…` of the manifest, which holds the hash of every other file: one name for all of the content. */
    val digest: String,
) {
    /** Content of one file, after its size and hash were compared. */
    fun read(name: String): ByteArray {
        val entry = files[name] ?: throw BundleFormatError("bundle ${store.place} has no file '$name'")
        val content =
            try {
                store.read(name, entry.bytes)
            } catch (error: IOException) {
                throw BundleIntegrityError(store.place, missing = listOf(name))
            }
        if (content.size.toLong() != entry.bytes || sha256(content) != entry.sha256) {
            throw BundleIntegrityError(store.place, changed = listOf(name))
        }
        return content
    }

    /** Bytes of a model file, all of its members together. */
    fun size(name: String): Long = members(name, files.keys).sumOf { files.getValue(it).bytes }

    /** Compare every file with the manifest. */
    fun verify() = compare(store.names())

    private fun compare(names: List<String>) {
        val present = names.toSet() - MANIFEST - SIGNATURE
        val changed =
            (present intersect files.keys).filter {
                try {
                    read(it)
                    false
                } catch (error: BundleIntegrityError) {
                    true
                }
            }
        val missing = files.keys - present
        val extra = present - files.keys
        if (changed.isNotEmpty() || missing.isNotEmpty() || extra.isNotEmpty()) {
            throw BundleIntegrityError(store.place, changed, missing.toList(), extra.toList())
        }
    }

    companion object {
        /**
         * @throws BundleFormatError no bundle there, or a manifest that cannot be used.
         * @throws BundleIntegrityError files are missing, or are there without being listed.
         */
        fun open(store: Store): Bundle {
            val names = store.names()
            if (MANIFEST !in names) throw BundleFormatError("${store.place} has no $MANIFEST, so it is no bundle")
            val content =
                try {
                    store.read(MANIFEST, MAX_MANIFEST_BYTES.toLong())
                } catch (error: IOException) {
                    throw BundleFormatError("${store.place}: $MANIFEST cannot be read: ${error.message}", error)
                }
            val (manifest, files) =
                try {
                    parseManifest(content)
                } catch (error: IllegalArgumentException) {
                    val advice = "Copy the bundle again, or make it again."
                    throw BundleFormatError("${store.place}: $MANIFEST cannot be used: ${error.message}. $advice", error)
                }
            val bundle = Bundle(store, manifest, files, "sha256:${sha256(content)}")
            if (names.toSet() - MANIFEST - SIGNATURE != files.keys) bundle.compare(names)
            return bundle
        }
    }
}

/** Lower-case hex SHA-256. */
fun sha256(content: ByteArray): String =
    MessageDigest.getInstance("SHA-256").digest(content).joinToString("") { "%02x".format(it) }
