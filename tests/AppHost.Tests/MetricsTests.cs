using System.Net;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Aspire.Hosting.Testing;
using Platform.ResilienceTesting;
using Platform.TestSupport;

namespace Platform.AppHost.Tests;

/// <summary>What the services export, and what rules, dashboards and docs make of it.</summary>
[Collection(nameof(RunningPlatform))]
public sealed partial class MetricsTests(RunningPlatform platform)
{
    private static readonly string[] LabelsOfEverything = ["job", "instance", "le"];

    [Fact]
    public async Task Every_metric_and_label_that_rules_and_dashboards_use_is_exported()
    {
        await platform.Client.TakeLiveAsync(PlatformClient.Shop(PlatformClient.NewSlug()));
        await FallBackAsync();

        // the gauges of the database are read every few seconds
        await Eventually.Async(async () =>
        {
            var exported = Merge(await Task.WhenAll(RunningPlatform.Services.Select(ScrapeAsync)));
            List<string> missing = [];
            foreach (var (file, expression) in Expressions())
            {
                var used = Metrics().Matches(Groupings().Replace(expression, "")).ToList();
                foreach (var match in used)
                {
                    var name = match.Groups["name"].Value;
                    if (!exported.TryGetValue(name, out var labels))
                    {
                        missing.Add($"{file}: {name}");
                        continue;
                    }

                    missing.AddRange(Matchers().Matches(match.Groups["matchers"].Value).Select(matcher => matcher.Groups["label"].Value)
                        .Where(label => !LabelsOfEverything.Contains(label) && !labels.Contains(label)).Select(label => $"{file}: {name}{{{label}}}"));
                }

                var all = used.SelectMany(match => exported.GetValueOrDefault(match.Groups["name"].Value) ?? []).ToHashSet(StringComparer.Ordinal);
                if (used.Count > 0)
                {
                    missing.AddRange(Groupings().Matches(expression).SelectMany(by => by.Groups["labels"].Value.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
                        .Where(label => label != "slo" && !LabelsOfEverything.Contains(label) && !all.Contains(label)).Select(label => $"{file}: by ({label}) in {expression}"));
                }
            }

            missing.Distinct(StringComparer.Ordinal).ShouldBeEmpty();
        }, cancellationToken: Cancel);
    }

    [Fact]
    public async Task Every_metric_of_the_platform_is_in_the_table_of_the_operations_guide()
    {
        await platform.Client.TakeLiveAsync(PlatformClient.Shop(PlatformClient.NewSlug()));
        var guide = await File.ReadAllTextAsync(Path.Combine(RepositoryRoot.Path, "docs", "operations.md"), Cancel);

        var exported = Merge(await Task.WhenAll(RunningPlatform.Services.Select(ScrapeAsync)));

        exported.Keys.Where(name => name.StartsWith("platform_", StringComparison.Ordinal)).Select(name => Suffix().Replace(name, ""))
            .Distinct(StringComparer.Ordinal).Where(name => !guide.Contains($"`{name}`", StringComparison.Ordinal)).ShouldBeEmpty();
    }

    // a stale answer, calls that were refused, and a breaker that opens and closes
    private async Task FallBackAsync()
    {
        await platform.App.Fault("backend", "template-registry").Refuse().DuringAsync(() => Eventually.Async(async () =>
        {
            var template = await platform.Client.Backend.GetFromJsonAsync<JsonObject>("/api/templates/aurora", Cancel);
            template!["stale"]!.GetValue<bool>().ShouldBeTrue();
            var report = await platform.HealthAsync("backend");
            report["circuitBreakers"]!["template-registry"]!["state"]!.GetValue<string>().ShouldBe("open");
        }, TimeSpan.FromSeconds(60), Cancel));
        await Eventually.Async(async () =>
        {
            var template = await platform.Client.Backend.GetFromJsonAsync<JsonObject>("/api/templates/aurora", Cancel);
            template!["stale"]?.GetValue<bool>().ShouldBe(false);
        }, TimeSpan.FromSeconds(60), Cancel);
        await platform.AllHealthyAsync();
    }

    private async Task<Dictionary<string, HashSet<string>>> ScrapeAsync(string service)
    {
        using var client = platform.App.CreateHttpClient(service);
        using var response = await client.GetAsync("/metrics", Cancel);
        response.StatusCode.ShouldBe(HttpStatusCode.OK);
        var text = await response.Content.ReadAsStringAsync(Cancel);
        if (FullTests.Wanted)
        {
            // promtool ends with 0 also when it has something to say.
            var (code, output, error) = await Tool.RunAsync("promtool", ["check", "metrics"], input: text);
            (code, output + error).ShouldBe((0, ""), $"metrics of {service}");
        }

        var found = new Dictionary<string, HashSet<string>>(StringComparer.Ordinal);
        foreach (var match in Series().Matches(text).Cast<Match>())
        {
            if (!found.TryGetValue(match.Groups["name"].Value, out var labels))
            {
                found[match.Groups["name"].Value] = labels = new(StringComparer.Ordinal);
            }

            labels.UnionWith(Matchers().Matches(match.Groups["labels"].Value).Select(label => label.Groups["label"].Value));
        }

        return found;
    }

    private static Dictionary<string, HashSet<string>> Merge(IEnumerable<Dictionary<string, HashSet<string>>> scrapes) =>
        scrapes.SelectMany(scrape => scrape).GroupBy(entry => entry.Key, StringComparer.Ordinal)
            .ToDictionary(group => group.Key, group => group.SelectMany(entry => entry.Value).ToHashSet(StringComparer.Ordinal), StringComparer.Ordinal);

    private static IEnumerable<(string File, string Expression)> Expressions()
    {
        var deploy = Path.Combine(RepositoryRoot.Path, "deploy");
        foreach (var file in Directory.EnumerateFiles(Path.Combine(deploy, "prometheus"), "*.rules.yml"))
        {
            // an expression goes to the next key, however many lines it has
            foreach (var match in YamlExpressions().Matches(File.ReadAllText(file)).Cast<Match>())
            {
                yield return (Path.GetFileName(file), match.Groups["expression"].Value);
            }
        }

        foreach (var file in Directory.EnumerateFiles(Path.Combine(deploy, "grafana", "dashboards"), "*.json"))
        {
            using var dashboard = JsonDocument.Parse(File.ReadAllText(file));
            foreach (var expression in Strings(dashboard.RootElement, ["expr", "query", "definition"]).ToList())
            {
                yield return (Path.GetFileName(file), expression);
            }
        }
    }

    private static IEnumerable<string> Strings(JsonElement element, string[] names) => element.ValueKind switch
    {
        JsonValueKind.Object => element.EnumerateObject().SelectMany(property =>
            names.Contains(property.Name) && property.Value.ValueKind == JsonValueKind.String ? [property.Value.GetString()!] : Strings(property.Value, names)),
        JsonValueKind.Array => element.EnumerateArray().SelectMany(item => Strings(item, names)),
        _ => [],
    };

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [GeneratedRegex("""^(?<name>[a-zA-Z_:][\w:]*)(\{(?<labels>[^\n]*)\})? """, RegexOptions.ExplicitCapture | RegexOptions.Multiline, 1000)]
    private static partial Regex Series();

    [GeneratedRegex("""\b(?<name>(platform|http|db|dotnet|kestrel|aspnetcore)_\w+)(\{(?<matchers>([^}"]|"[^"]*")*)\})?""", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Metrics();

    [GeneratedRegex("""(?<label>[a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"[^"]*("|$)""", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Matchers();

    [GeneratedRegex("""\b(by|on|without|group_left|group_right)\s*\((?<labels>[^)]*)\)""", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Groupings();

    [GeneratedRegex("""^ *(- )?expr: *(\|-?\n)?(?<expression>.*?)(?=^ *(- )?[a-z]+:|\z)""", RegexOptions.ExplicitCapture | RegexOptions.Multiline | RegexOptions.Singleline, 1000)]
    private static partial Regex YamlExpressions();

    [GeneratedRegex("_(bucket|sum|count)$", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Suffix();
}
