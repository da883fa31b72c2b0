package dev.edgestill.core

import dev.edgestill.core.tasks.ImageClassification
import dev.edgestill.core.tasks.Regression
import dev.edgestill.core.tasks.UnknownTask
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

/** Manifests of every format version that is read, and of every task. */
class ManifestTest {
    @Test
    fun `what bundles say is what Python reads`() {
        val said = Vectors.json("manifests/manifests.json") as Map<*, *>
        assertTrue(said.size >= 10)
        for ((name, expected) in said) {
            val manifest = Vectors.bundle(name as String).also { it.verify() }.manifest
            assertEquals(name, expected.field("task"), manifest.task)
            assertEquals(name, expected.field("labels"), manifest.labels)
            assertEquals(name, expected.field("settings"), manifest.taskSettings)
            assertEquals(name, expected.field("scores"), manifest.scores)
            assertEquals(name, expected.field("agreement")?.number(), manifest.agreement)
            assertEquals(name, expected.field("takes_images"), manifest.processor != null)
            assertEquals(name, numbers(expected.field("quality")), manifest.quality)
            assertEquals(name, numbers(expected.field("models")), manifest.models.mapValues { it.value.quality })
        }
    }

    private fun numbers(all: Any?) = (all as Map<*, *>).mapValues { (_, found) -> (found as Map<*, *>).mapValues { it.value.double() } }

    @Test
    fun `older versions say the same as today's`() {
        for (version in listOf(2, 3)) {
            assertTrue("\"format_version\": $version" in Vectors.file("manifests/version$version.edge/manifest.json").readText())
            assertEquals(Vectors.bundle("version4").manifest, Vectors.bundle("version$version").manifest)
        }
        assertTrue("\"format_version\": 4" in Vectors.file("manifests/version4.edge/manifest.json").readText().replace("\":4", "\": 4"))
    }

    @Test
    fun `the manifest names the task, and an older one without labels is a classifier's`() {
        assertTrue(Vectors.bundle("nameless").manifest.task() is ImageClassification)
        assertTrue(Vectors.bundle("regression").manifest.task() is Regression)
        assertTrue(Vectors.bundle("own").manifest.task() is UnknownTask)
    }

    @Test
    fun `files of an engine that the app has not are checked, and left alone`() {
        val bundle = Vectors.bundle("other-engine").also { it.verify() }
        assertEquals("coreml", bundle.manifest.models.getValue("model.mlpackage").engine)
        assertEquals(7, bundle.size("model.mlpackage")) // its two members, of 2 and 5 bytes
        assertEquals(bundle.files.getValue("model.pte").bytes, bundle.size("model.pte"))
        val factory = EngineFactory { _, _, _ -> throw AssertionError("an engine was asked") }
        val error = assertThrows(EngineError::class.java) { Model(bundle, "model.mlpackage", factory) }
        assertEquals("model.mlpackage is a folder of files, which no engine of this app takes", error.message)
    }

    @Test
    fun `what a file retains is a share of the teacher's main measure`() {
        val regression = Vectors.bundle("regression").manifest
        assertEquals(0.9125 / 0.95, regression.retained(regression.models.getValue("model.pte").quality)!!, 1e-15)
        assertNull(regression.retained(mapOf("MAE" to 1.0)))
        assertNull(regression.copy(quality = mapOf("teacher" to mapOf("R²" to -0.5))).retained(mapOf("R²" to 0.5))) // no share of anything
        assertNull(Vectors.bundle("own").manifest.retained(mapOf("steps" to 2.0)))
    }
}
