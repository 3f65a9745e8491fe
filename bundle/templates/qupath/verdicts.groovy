/*
 * Verdicts in QuPath: loads the GeoJSON files of a folder into the images of a project, and writes what you judged
 * back in the same form. QuPath 0.5 or later.
 *
 * 1. Open a project whose images have the names of the files: a.tif and a.geojson. Close the image in the viewer.
 * 2. Set FOLDER, and TASK to "load", and run the script: Automate > Script editor, then Run > Run.
 * 3. Judge: give each detection and each outline the class Tumor, "Not tumor" or Unsure. Draw what was missed, delete
 *    or correct outlines. Save each image.
 * 4. Close the image, set TASK to "save" and run the script.
 *
 * An object that you did not change keeps what the file says now, so verdicts that somebody gave in the meantime stay.
 */

import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import groovy.transform.Field

import java.nio.file.Files
import java.nio.file.StandardCopyOption
import java.time.Instant

import qupath.lib.io.GsonTools
import qupath.lib.io.PathIO

import static qupath.lib.scripting.QP.getProject

// ---- what you set ----

@Field String TASK = "load"
@Field String FOLDER = "/path/to/verdicts"  // of the GeoJSON files
@Field String REVIEWER = System.getProperty("user.name")

// ---- the script ----

@Field Map COLORS = ["Tumor": [200, 0, 0], "Not tumor": [0, 114, 178], "Unsure": [230, 159, 0], "Unreviewed": [128, 128, 128]]
@Field Map VERDICTS = ["Tumor": "tumor", "Not tumor": "not_tumor", "Unsure": "unsure"]
@Field String LOADED = "verdicts loaded"  // what an object was when it was loaded, kept in its metadata
@Field String LOADED_IDS = "verdicts loaded ids"  // of all objects that were loaded, kept with the image

if (!(TASK in ["load", "save"])) {
    throw new IllegalArgumentException("TASK: expected load or save, found ${TASK}; set one of them")
}
def project = getProject()
if (project == null) {
    throw new IllegalStateException("no project is open; open the project whose images the folder is about")
}
def folder = new File(FOLDER)
if (!folder.isDirectory()) {
    throw new IllegalArgumentException("FOLDER: expected a folder of GeoJSON files, found ${folder}; set it")
}

def numFiles = 0
for (entry in project.getImageList()) {
    def file = names(entry).collect { new File(folder, it + ".geojson") }.find { it.isFile() }
    if (file == null) {
        println "${entry.getImageName()}: no file in ${folder}, left as it is"
        continue
    }
    def imageData = entry.readImageData()
    if (TASK == "load") {
        load(imageData, file)
        entry.saveImageData(imageData)
    } else {
        save(imageData, file)
    }
    numFiles++
}
println "${counted(numFiles, 'file')}: ${TASK} is done"

/** A number with what it counts: "1 file", "2 files". */
String counted(int number, String one) {
    return "${number} ${one}${number == 1 ? '' : 's'}"
}

/** The names that the file of an image may have: that of its own file, and that in the project. */
List<String> names(entry) {
    def paths = entry.getURIs().collect { it.getPath() }.findAll { it }.collect { it.substring(it.lastIndexOf("/") + 1) }
    return [*paths, entry.getImageName()].collectMany { [it.replaceFirst(/\.[^.]*$/, ""), it] }.unique()
}

void load(imageData, File file) {
    def hierarchy = imageData.getHierarchy()
    def objects = PathIO.readObjects(file)
    def ids = objects.collect { it.getID().toString() } as Set
    hierarchy.removeObjects(hierarchy.getAllObjects(false).findAll { it.getID().toString() in ids }, true)
    objects.each { it.getMetadata().put(LOADED, state(parse(GsonTools.getInstance().toJson(it)))) }
    hierarchy.addObjects(objects)
    imageData.setProperty(LOADED_IDS, ids.join(","))
    println "${file.getName()}: ${counted(objects.size(), 'object')} loaded"
}

void save(imageData, File file) {
    def loaded = imageData.getProperty(LOADED_IDS)
    if (loaded == null) {
        throw new IllegalStateException("${file.getName()}: was not loaded into this image; set TASK to load first")
    }
    def annotations = imageData.getHierarchy().getAnnotationObjects()
    def found = annotations.collect { [parse(GsonTools.getInstance().toJson(it)), it.getMetadata().get(LOADED)] }
    def features = merge(parse(file.getText("UTF-8")).features, found, loaded.tokenize(",") as Set)
    def lines = features.collect { JsonOutput.toJson(it) }.join(",\n")
    def temporary = Files.createTempFile(file.getParentFile().toPath(), ".", ".tmp")
    Files.writeString(temporary, '{"type": "FeatureCollection", "features": [\n' + lines + "\n]}\n")
    Files.move(temporary, file.toPath(), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING)
    println "${file.getName()}: ${counted(features.size(), 'object')} saved"
}

/**
 * The features of the file with what was done in QuPath.
 *
 * present: the features that the file has now.
 * found: of each annotation in QuPath its feature, and its state when it was loaded, null if it was drawn since.
 * loaded: ids of all that were loaded; who has one of these and is not found was deleted.
 */
List merge(List present, List found, Set loaded) {
    def inQuPath = found.collectEntries { feature, before -> [feature.id, feature] }
    def kept = present.findAll { it.id in inQuPath || !(it.id in loaded) }.collectEntries { [it.id, it] }
    found.each { feature, before ->
        def known = kept[feature.id]
        if (before != null && state(feature) == before) {
            return  // not changed here: it stays as the file has it, also where it was removed there
        }
        kept[feature.id] = changed(feature, known)
    }
    return kept.values() as List
}

/** A feature of the file, or a new one, with the place and the class that it has in QuPath. */
Map changed(Map feature, Map known) {
    def name = className(feature)
    def isPoint = feature.geometry.type == "Point"
    def unknown = [
        probability: null, comment: "", when: null, reviewer: null, weights_sha256: null,
        source: isPoint ? "detection" : "drawn", lesion: null, name: feature.properties.name ?: "",
    ]
    def properties = known == null ? unknown : new LinkedHashMap(known.properties)
    if (known == null || className(known) != name) {
        def verdict = VERDICTS[name]
        properties.verdict = verdict
        properties.when = verdict == null ? null : Instant.now().toString()
        properties.reviewer = verdict == null ? null : REVIEWER
        properties.classification = name == null ? null : [name: name, color: COLORS[name] ?: feature.properties.classification.color]
    }
    properties.objectType = "annotation"
    return [type: "Feature", id: feature.id, geometry: feature.geometry, properties: properties]
}

/** The place and the class of a feature as one text. */
String state(Map feature) {
    return JsonOutput.toJson([feature.geometry, className(feature)])
}

String className(Map feature) {
    def classification = feature.properties.classification
    return classification == null ? null : (classification.name ?: classification.names?.join(": "))
}

Object parse(String text) {
    return new JsonSlurper().parseText(text)
}
