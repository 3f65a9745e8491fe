package qupath.lib.scripting

/** In place of QuPath: a project that lives as long as the process. */
class QP {
    static Object project

    static Object getProject() {
        return project
    }
}
