using k8s.Models;
using Platform.AppHost.Kubernetes;

namespace Platform.AppHost.Tests.Kubernetes;

public sealed class ManifestTests
{
    [Theory]
    [InlineData("9000"), InlineData("true"), InlineData("on"), InlineData("No"), InlineData("y"), InlineData("null"), InlineData("~"), InlineData("1e3"), InlineData("0x1F")]
    [InlineData("017"), InlineData("1_000"), InlineData("12:30:45"), InlineData("2024-01-31"), InlineData(".inf"), InlineData(""), InlineData(" a "), InlineData("a: b")]
    [InlineData("a #b"), InlineData("#a"), InlineData("*a"), InlineData("&a"), InlineData("!a"), InlineData("{a}"), InlineData("[a]"), InlineData("- a"), InlineData("? a")]
    [InlineData("'a'"), InlineData("\"a\""), InlineData("a:"), InlineData("%a"), InlineData("@a"), InlineData("`a"), InlineData("a\tb"), InlineData("a\\b"), InlineData("ä€😀")]
    [InlineData("two\nlines"), InlineData("two\nlines\n"), InlineData("---"), InlineData("..."), InlineData("=")]
    public void A_string_is_read_back_as_the_same_string(string text)
    {
        Yaml.Documents(Manifest.Yaml(new { text })).Single()["text"]!.GetValue<string>().ShouldBe(text);
        Yaml.Documents(Manifest.Yaml(new Dictionary<string, object> { [text] = 1 })).Single().Single().Key.ShouldBe(text);
        Yaml.Documents($"text: {Manifest.Scalar(text.ReplaceLineEndings(" "))}").Single()["text"]!.GetValue<string>().ShouldBe(text.ReplaceLineEndings(" "));
    }

    [Theory]
    [InlineData("http://template-registry"), InlineData("docker.io/library/postgres:18.3"), InlineData("ReadWriteOnce"), InlineData("/alive")]
    public void Strings_that_need_no_quotes_have_none(string text) => Manifest.Yaml(new { text }).ShouldBe($"text: {text}\n");

    [Fact]
    public void Typed_objects_have_no_empty_fields_strings_stay_strings_and_the_name_comes_first()
    {
        var resources = new V1ResourceRequirements { Limits = new Dictionary<string, ResourceQuantity> { ["cpu"] = new("2"), ["memory"] = new("1.5Gi") } };
        var container = new V1Container { Args = ["0x1F"], LivenessProbe = new() { HttpGet = new() { Port = 8080 } }, Name = "web", Resources = resources };

        Manifest.Yaml(new V1Pod { Metadata = new() { Name = "web" }, Spec = new() { Containers = [container], Volumes = [new() { EmptyDir = new(), Name = "tmp" }] } }).ShouldBe("""
            apiVersion: v1
            kind: Pod
            metadata:
              name: web
            spec:
              containers:
                - name: web
                  args:
                    - "0x1F"
                  livenessProbe:
                    httpGet:
                      port: 8080
                  resources:
                    limits:
                      cpu: "2"
                      memory: "1536Mi"
              volumes:
                - name: tmp
                  emptyDir: {}

            """);
    }
}
