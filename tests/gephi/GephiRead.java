import java.io.File;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.gephi.graph.api.Column;
import org.gephi.graph.api.Edge;
import org.gephi.graph.api.Element;
import org.gephi.graph.api.Graph;
import org.gephi.graph.api.GraphController;
import org.gephi.graph.api.GraphModel;
import org.gephi.graph.api.Node;
import org.gephi.graph.api.Table;
import org.gephi.io.importer.api.Container;
import org.gephi.io.importer.api.ImportController;
import org.gephi.io.processor.plugin.AppendProcessor;
import org.gephi.project.api.ProjectController;
import org.gephi.project.api.Workspace;
import org.openide.util.Lookup;

/**
 * What Gephi makes of files: each argument is one graph, as one file or as several joined by the
 * platform's path separator (nodes.csv, then edges.csv). Prints one JSON document a line.
 */
public final class GephiRead {
  public static void main(String[] arguments) throws Exception {
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    for (String argument : arguments) {
      out.println(read(argument.split(File.pathSeparator)));
    }
    System.exit(0); // the toolkit leaves threads behind
  }

  private static String read(String[] files) throws Exception {
    ProjectController projects = Lookup.getDefault().lookup(ProjectController.class);
    projects.newProject();
    Workspace workspace = projects.getCurrentWorkspace();
    ImportController importer = Lookup.getDefault().lookup(ImportController.class);
    List<String> issues = new ArrayList<>();
    for (String file : files) {
      Container container = importer.importFile(new File(file));
      container.getReport().getIssuesList(100).forEach(i -> issues.add(text(i.getMessage())));
      importer.process(container, new AppendProcessor(), workspace);
    }
    GraphModel model = Lookup.getDefault().lookup(GraphController.class).getGraphModel(workspace);
    String result = describe(model, issues);
    projects.closeCurrentProject();
    return result;
  }

  private static String describe(GraphModel model, List<String> issues) {
    Graph graph = model.getGraph();
    List<String> nodes = new ArrayList<>();
    for (Node node : graph.getNodes()) {
      nodes.add(
          "{\"id\":" + text(node.getId()) + ",\"label\":" + text(node.getLabel())
              + ",\"x\":" + node.x() + ",\"y\":" + node.y()
              + ",\"values\":" + values(node, model.getNodeTable()) + "}");
    }
    List<String> edges = new ArrayList<>();
    for (Edge edge : graph.getEdges()) {
      edges.add(
          "{\"id\":" + text(edge.getId()) + ",\"source\":" + text(edge.getSource().getId())
              + ",\"target\":" + text(edge.getTarget().getId())
              + ",\"kind\":" + text(edge.getTypeLabel()) + ",\"weight\":" + edge.getWeight()
              + ",\"directed\":" + edge.isDirected()
              + ",\"color\":[" + edge.getColor().getRed() + "," + edge.getColor().getGreen() + ","
              + edge.getColor().getBlue() + "]"
              + ",\"values\":" + values(edge, model.getEdgeTable()) + "}");
    }
    List<String> types = new ArrayList<>();
    for (Object label : model.getEdgeTypeLabels()) {
      types.add(text(label));
    }
    return "{\"nodes\":[" + String.join(",", nodes) + "],\"edges\":[" + String.join(",", edges)
        + "],\"types\":[" + String.join(",", types)
        + "],\"node_columns\":" + columns(model.getNodeTable())
        + ",\"edge_columns\":" + columns(model.getEdgeTable())
        + ",\"issues\":[" + String.join(",", issues) + "]}";
  }

  private static String columns(Table table) {
    List<String> parts = new ArrayList<>();
    for (Column column : table) {
      parts.add(text(column.getTitle()) + ":" + text(column.getTypeClass().getSimpleName()));
    }
    return "{" + String.join(",", parts) + "}";
  }

  private static String values(Element element, Table table) {
    List<String> parts = new ArrayList<>();
    for (Column column : table) {
      Object value = element.getAttribute(column);
      if (value == null || column.isProperty()) {
        continue;
      }
      boolean plain = value instanceof Boolean || value instanceof Integer || value instanceof Long;
      parts.add(text(column.getTitle()) + ":" + (plain ? value.toString() : text(value)));
    }
    return "{" + String.join(",", parts) + "}";
  }

  private static String text(Object value) {
    if (value == null) {
      return "null";
    }
    StringBuilder built = new StringBuilder("\"");
    for (char c : value.toString().toCharArray()) {
      if (c < 0x20 || c == '"' || c == '\\' || Character.isSurrogate(c)) {
        built.append(String.format("\\u%04x", (int) c));
      } else {
        built.append(c);
      }
    }
    return built.append('"').toString();
  }
}
