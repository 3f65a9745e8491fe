// Runs the script for QuPath as a person would: load, judge, save. Arguments: the script, the folder of verdicts.

import groovy.json.JsonOutput
import qupath.lib.io.PathIO
import qupath.lib.scripting.QP

class Hierarchy {
    List objects = []

    List getAllObjects(boolean withRoot) {
        return objects
    }

    List getAnnotationObjects() {
        return objects
    }

    void removeObjects(Collection gone, boolean keepChildren) {
        objects.removeAll(gone)
    }

    void addObjects(Collection more) {
        objects.addAll(more)
    }
}

class ImageData {
    Hierarchy hierarchy = new Hierarchy()
    Map kept = [:]

    void setProperty(String name, Object value) {
        kept[name] = value
    }

    Object getProperty(String name) {
        return name == "hierarchy" ? hierarchy : kept[name]
    }

    Hierarchy getHierarchy() {
        return this.@hierarchy
    }
}

class Entry {
    String name
    ImageData data = new ImageData()
    int numSaved = 0

    String getImageName() {
        return name
    }

    List<URI> getURIs() {
        return [new URI("file:/slides/${name}")]
    }

    ImageData readImageData() {
        return data
    }

    void saveImageData(ImageData changed) {
        numSaved++
    }
}

class Project {
    List imageList

    List getImageList() {
        return imageList
    }
}

def (script, folder) = args
def entries = ["a.tif", "none.tif"].collect { new Entry(name: it) }
QP.project = new Project(imageList: entries)
def text = new File(script).getText("UTF-8").replace("/path/to/verdicts", folder)
def run = { String task -> new GroovyShell(this.class.classLoader).run(text.replace('TASK = "load"', "TASK = \"${task}\""), "verdicts.groovy", []) }

run("load")
run("load")  // a second time changes nothing
def hierarchy = entries[0].readImageData().getHierarchy()
def byName = hierarchy.objects.collectEntries { [it.feature.properties.name, it] }
byName["Detection 3"].feature.properties.classification = [name: "Not tumor", color: [1, 2, 3]]
byName["Lesion 1"].feature.geometry.coordinates[0][1] = [450, 20]
hierarchy.objects.remove(byName["Detection 2"])
def ring = [[500, 10], [600, 10], [600, 90], [500, 10]]
def drawn = [type: "Feature", id: "new", geometry: [type: "Polygon", coordinates: [ring]],
             properties: [objectType: "annotation", classification: [name: "Tumor", color: [9, 9, 9]]]]
hierarchy.objects.add(PathIO.standIn(drawn))

// what a review writes in the meantime
def file = new File(folder, "a.geojson")
def content = new groovy.json.JsonSlurper().parse(file)
def judged = content.features.find { it.id == "d1" }.properties
judged.putAll([classification: [name: "Tumor", color: [200, 0, 0]], verdict: "tumor", reviewer: "meantime"])
content.features.add([type: "Feature", id: "later", geometry: drawn.geometry, properties: [classification: [name: "Unsure"]]])
file.setText(JsonOutput.toJson(content), "UTF-8")

run("save")
