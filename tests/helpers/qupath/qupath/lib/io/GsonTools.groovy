package qupath.lib.io

import groovy.json.JsonOutput

/** In place of QuPath: objects of PathIO as JSON. */
class GsonTools {
    static GsonTools getInstance() {
        return new GsonTools()
    }

    String toJson(Object object) {
        return JsonOutput.toJson(object.feature)
    }
}
