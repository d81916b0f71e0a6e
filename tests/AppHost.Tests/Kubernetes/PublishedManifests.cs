using System.Text.Json.Nodes;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Testing;
using Platform.TestSupport;

[assembly: AssemblyFixture(typeof(Platform.AppHost.Tests.Kubernetes.PublishedManifests))]

namespace Platform.AppHost.Tests.Kubernetes;

/// <summary>The output of the real AppHost, published once for all tests.</summary>
public sealed class PublishedManifests : IAsyncLifetime
{
    /// <summary>The value of the secret parameters, which must not appear in any published file.</summary>
    public const string SecretMarker = "s3cret-m4rker";

    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("published-");

    public string Path => System.IO.Path.Combine(_directory.FullName, "out");

    public IReadOnlyList<IResource> Model { get; private set; } = [];

    /// <summary>
    /// The variants that the tests check: the base as written, the base with the database component, and with <c>./test --full</c> each overlay
    /// as kubectl builds it.
    /// </summary>
    public static TheoryData<string> Views => FullTests.Wanted
        ? ["base", "base with postgres", "dev", "staging", "production"]
        : ["base", "base with postgres"];

    public async ValueTask InitializeAsync() => Model = await PublishAsync(Path);

    public ValueTask DisposeAsync()
    {
        _directory.Delete(recursive: true);
        return ValueTask.CompletedTask;
    }

    /// <summary>Publishes the real app model, changed by <paramref name="change"/>.</summary>
    public static async Task<IReadOnlyList<IResource>> PublishAsync(string output, Action<IDistributedApplicationBuilder>? change = null, params string[] args)
    {
        var builder = await DistributedApplicationTestingBuilder.CreateAsync<Projects.AppHost>(
            [
                "--operation", "publish", "--step", "publish", "--output-path", output,
                $"--Parameters:internal-token={SecretMarker}-1", $"--Parameters:postgres-password={SecretMarker}-2", .. args,
            ],
            TestContext.Current.CancellationToken);
        change?.Invoke(builder);
        var resources = builder.Resources.ToList();
        await using var app = await builder.BuildAsync(TestContext.Current.CancellationToken);
        await app.RunAsync(TestContext.Current.CancellationToken);
        return resources;
    }

    public IReadOnlyList<JsonObject> View(string view) => Objects(Path, view);

    public static IReadOnlyList<JsonObject> Objects(string path, string view) => view switch
    {
        "base" => Base(path),
        "base with postgres" => WithComponent(Base(path), System.IO.Path.Combine(path, "components/postgres")),
        _ => Yaml.Documents(Kustomize(System.IO.Path.Combine(path, "overlays", view))),
    };

    /// <summary>Every Kubernetes object, with the file that contains it.</summary>
    public static IEnumerable<(string File, JsonObject Object)> Files(string path) =>
        from file in Directory.GetFiles(path, "*.yaml", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
        where System.IO.Path.GetFileName(file) != "kustomization.yaml"
        from document in Yaml.Read(File.ReadAllText(file))
        where document is JsonObject
        select (System.IO.Path.GetRelativePath(path, file), (JsonObject)document);

    private static List<JsonObject> Base(string path) => Resources(System.IO.Path.Combine(path, "base"));

    private static List<JsonObject> Resources(string directory)
    {
        var kustomization = Yaml.Documents(File.ReadAllText(System.IO.Path.Combine(directory, "kustomization.yaml"))).Single();
        return
        [
            .. kustomization["resources"]!.AsArray().SelectMany(file => Yaml.Documents(File.ReadAllText(System.IO.Path.Combine(directory, (string)file!)))),
            .. (kustomization["configMapGenerator"] as JsonArray ?? []).Select(generator => new JsonObject
            {
                ["apiVersion"] = "v1",
                ["kind"] = "ConfigMap",
                ["metadata"] = new JsonObject { ["name"] = generator!["name"]!.DeepClone(), ["labels"] = generator["options"]!["labels"]!.DeepClone() },
                ["data"] = new JsonObject(
                    (generator["literals"] as JsonArray ?? []).Select(literal => ((string)literal!).Split('=', 2)).Select(pair => KeyValuePair.Create(pair[0], (JsonNode?)pair[1]))
                    .Concat((generator["files"] as JsonArray ?? []).Select(file => KeyValuePair.Create((string)file!, (JsonNode?)File.ReadAllText(System.IO.Path.Combine(directory, (string)file!)))))),
            }),
        ];
    }

    // Applies a component as Kustomize does, for the kinds of patches that are in use.
    private static List<JsonObject> WithComponent(List<JsonObject> objects, string component)
    {
        objects.AddRange(Resources(component));
        foreach (var patch in Yaml.Documents(File.ReadAllText(System.IO.Path.Combine(component, "kustomization.yaml"))).Single()["patches"]!.AsArray())
        {
            if (patch!["path"] is { } file)
            {
                var target = objects.Single(o => o.Kind() == (string)patch["target"]!["kind"]! && o.Name() == (string)patch["target"]!["name"]!);
                foreach (var operation in Yaml.Read(File.ReadAllText(System.IO.Path.Combine(component, (string)file!))).Single()!.AsArray())
                    Apply(target, operation!.AsObject());
                continue;
            }

            var inline = Yaml.Documents((string)patch["patch"]!).Single();
            inline["$patch"]!.GetValue<string>().ShouldBe("delete");
            objects.RemoveAll(o => o.Kind() == inline.Kind() && o.Name() == inline.Name()).ShouldBe(1);
        }

        return objects;
    }

    private static void Apply(JsonObject target, JsonObject operation)
    {
        var segments = ((string)operation["path"]!).Split('/')[1..];
        JsonNode at = target;
        foreach (var segment in segments[..^1])
            at = at is JsonArray array ? array[int.Parse(segment, System.Globalization.CultureInfo.InvariantCulture)]! : at[segment]!;
        var last = segments[^1];
        switch ((string)operation["op"]!)
        {
            case "test":
                JsonNode.DeepEquals(at[last], operation["value"]).ShouldBeTrue((string)operation["path"]!);
                break;
            case "replace":
                ((JsonArray)at)[int.Parse(last, System.Globalization.CultureInfo.InvariantCulture)] = operation["value"]!.DeepClone();
                break;
            case "add":
                ((JsonArray)at).Insert(int.Parse(last, System.Globalization.CultureInfo.InvariantCulture), operation["value"]!.DeepClone());
                break;
            case var unknown:
                throw new InvalidOperationException($"The JSON patch operation '{unknown}' isn't supported here.");
        }
    }

    private static string Kustomize(string overlay)
    {
        var (code, output, error) = Tool.RunAsync("kubectl", ["kustomize", overlay]).GetAwaiter().GetResult();
        code.ShouldBe(0, $"kubectl 1.27 or later is needed for these overlays. {error}");
        // kubectl warns of deprecated fields.
        error.ShouldBeEmpty();
        return output;
    }
}
