package qupath.lib.io

import groovy.json.JsonSlurper

/** In place of QuPath: the objects of a file keep what QuPath keeps of a feature. */
class PathIO {
    static List readObjects(File file) {
        return new JsonSlurper().parse(file).features.collect { new StandIn(it) }
    }

    static Object standIn(Map feature) {
        return new StandIn(feature)
    }

    static class StandIn {
        Map feature
        Map metadata = [:]

        StandIn(Map feature) {
            def kept = feature.properties.subMap(["objectType", "name", "classification"]).findAll { it.value != null }
            this.feature = [type: "Feature", id: feature.id, geometry: feature.geometry, properties: kept]
        }

        String getID() {
            return feature.id
        }
    }
}
