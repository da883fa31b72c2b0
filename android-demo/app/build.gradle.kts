import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "dev.edgestill.demo"
    compileSdk = 35

    defaultConfig {
        applicationId = "dev.edgestill.demo"
        minSdk = 26
        targetSdk = 35
        versionCode = 1
        versionName = "1.0"
        ndk { abiFilters += listOf("arm64-v8a", "x86_64") }
    }

    // A model is mapped into memory from where it lies; compressed, it could not be.
    androidResources { noCompress += listOf("pte", "tflite", "npz") }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }

    packaging {
        jniLibs { useLegacyPackaging = false }
        resources { excludes += "META-INF/**" }
    }
}

kotlin {
    compilerOptions.jvmTarget = JvmTarget.JVM_11
}

dependencies {
    implementation(project(":core"))
    implementation(libs.gson)
    implementation(libs.executorch) { exclude(group = "androidx.core") }
    implementation(libs.tensorflow.lite)
    for (abi in listOf("android-arm64", "android-x86_64")) {
        runtimeOnly(variantOf(libs.javacpp) { classifier(abi) })
        runtimeOnly(variantOf(libs.tensorflow.lite) { classifier(abi) })
    }
}
