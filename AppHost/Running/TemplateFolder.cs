using System.Globalization;
using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Threading.Channels;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Platform.AppHost.Running;

internal static class TemplateFolderExtensions
{
    /// <summary>
    /// With <c>--template DIR</c>: publishes the template in that folder as a new version whenever a file in it is saved, and deploys a shop with it, so that the change is visible at once.
    /// </summary>
    /// <exception cref="DistributedApplicationException">The folder has no <c>template.json</c>.</exception>
    public static void WatchTemplateFolder(
        this IDistributedApplicationBuilder builder, string[] args, IResourceBuilder<ProjectResource> backend, IResourceBuilder<ParameterResource> key)
    {
        if (!builder.ExecutionContext.IsRunMode || new ConfigurationBuilder().AddCommandLine(args).Build()["template"] is not { } folder)
        {
            return;
        }

        if (!File.Exists(Path.Combine(folder, TemplateFolder.Manifest)))
        {
            throw new DistributedApplicationException($"--template must be a folder with a {TemplateFolder.Manifest}, unlike '{folder}'.");
        }

        builder.Services.AddHttpClient();
        builder.Services.AddHostedService(services =>
            ActivatorUtilities.CreateInstance<TemplateFolder>(services, Path.GetFullPath(folder), Console.Out, TimeProvider.System, backend.Resource, key.Resource));
    }
}

/// <summary>Publishes and deploys the template in a folder while somebody edits it.</summary>
internal sealed class TemplateFolder(
    string folder, TextWriter terminal, TimeProvider time, ProjectResource backend, ParameterResource key, ResourceNotificationService notifications, IHttpClientFactory clients)
    : BackgroundService
{
    public const string Manifest = "template.json";

    // Editors save a file in several steps.
    private static readonly TimeSpan Quiet = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(50);

    private readonly Channel<bool> _changes = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private string? _shop;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await notifications.WaitForResourceHealthyAsync(backend.Name, stoppingToken);
        using var client = clients.CreateClient();
        client.BaseAddress = new Uri(backend.GetEndpoint("http").Url);
        client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", await key.GetValueAsync(stoppingToken));

        using var watcher = new FileSystemWatcher(folder) { IncludeSubdirectories = true };
        watcher.Changed += (_, _) => _changes.Writer.TryWrite(true);
        watcher.Created += (_, _) => _changes.Writer.TryWrite(true);
        watcher.Deleted += (_, _) => _changes.Writer.TryWrite(true);
        watcher.Renamed += (_, _) => _changes.Writer.TryWrite(true);
        watcher.EnableRaisingEvents = true;

        _changes.Writer.TryWrite(true);
        await foreach (var _ in _changes.Reader.ReadAllAsync(stoppingToken))
        {
            await Task.Delay(Quiet, time, stoppingToken);
            _changes.Reader.TryRead(out var _);
            try
            {
                await PublishAsync(client, stoppingToken);
            }
            catch (Exception e) when (e is HttpRequestException or IOException or JsonException or UnauthorizedAccessException or InvalidOperationException or FormatException)
            {
                await terminal.WriteLineAsync($"Template: {e.Message}");
            }
        }
    }

    private async Task PublishAsync(HttpClient client, CancellationToken cancellationToken)
    {
        var started = time.GetTimestamp();
        var manifest = JsonNode.Parse(await File.ReadAllTextAsync(Path.Combine(folder, Manifest), cancellationToken))!.AsObject();
        var name = manifest["name"]!.GetValue<string>();
        var now = time.GetUtcNow();
        // Numbers in versions have at most nine digits: days, then milliseconds of the day.
        var version = string.Create(CultureInfo.InvariantCulture,
            $"{manifest["version"]!.GetValue<string>().Split('-')[0]}-dev.{(long)(now - DateTimeOffset.UnixEpoch).TotalDays}.{(long)now.TimeOfDay.TotalMilliseconds}");
        manifest["version"] = version;

        using var content = new ByteArrayContent(Zip(manifest));
        content.Headers.ContentType = new("application/zip");
        using var published = await client.PutAsync($"/api/templates/{name}/versions/{version}", content, cancellationToken);
        var answer = await published.Content.ReadFromJsonAsync<JsonObject>(cancellationToken);
        if (!published.IsSuccessStatusCode)
        {
            await terminal.WriteLineAsync($"Template {name}: {Describe(answer!)}");
            return;
        }

        foreach (var warning in answer!["warnings"]?.AsArray() ?? [])
        {
            await terminal.WriteLineAsync($"Template {name}: warning: {warning}");
        }

        _shop ??= await FindOrCreateShopAsync(client, name, version, cancellationToken);
        using var accepted = await client.PostAsJsonAsync($"/api/shops/{_shop}/deployments", new { version }, cancellationToken);
        var deployment = (await accepted.Content.ReadFromJsonAsync<JsonObject>(cancellationToken))!;
        if (!accepted.IsSuccessStatusCode)
        {
            await terminal.WriteLineAsync($"Template {name}: {Describe(deployment)}");
            return;
        }

        while (deployment["status"]!.GetValue<string>() is "queued" or "running")
        {
            await Task.Delay(PollInterval, time, cancellationToken);
            deployment = (await client.GetFromJsonAsync<JsonObject>($"/api/deployments/{deployment["id"]}", cancellationToken))!;
        }

        await terminal.WriteLineAsync(deployment["status"]!.GetValue<string>() == "live"
            ? string.Create(CultureInfo.InvariantCulture, $"Template {name}: live after {time.GetElapsedTime(started).TotalMilliseconds:0} ms at {deployment["url"]}")
            : $"Template {name}: the deployment is {deployment["status"]}: {deployment["error"]?["message"]}");
    }

    private byte[] Zip(JsonObject manifest)
    {
        using var zip = new MemoryStream();
        using (var archive = new ZipArchive(zip, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach (var file in Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories))
            {
                var path = Path.GetRelativePath(folder, file);
                using var target = archive.CreateEntry(path).Open();
                target.Write(path == Manifest ? JsonSerializer.SerializeToUtf8Bytes(manifest) : File.ReadAllBytes(file));
            }
        }

        return zip.ToArray();
    }

    /// <summary>The shop that shows the template, <c>preview-NAME</c>.</summary>
    private static async Task<string> FindOrCreateShopAsync(HttpClient client, string template, string version, CancellationToken cancellationToken)
    {
        var slug = $"preview-{template}";
        var products = Enumerable.Range(1, 12).Select(n => new
        {
            sku = string.Create(CultureInfo.InvariantCulture, $"sample-{n}"),
            name = string.Create(CultureInfo.InvariantCulture, $"Sample product {n}"),
            description = "A product that shows how the template looks.",
            price = 9.5m * n,
            currency = "EUR",
        });
        using var created = await client.PostAsJsonAsync("/api/shops", new { slug, name = $"Preview of {template}", template = new { name = template, version }, settings = new { }, products }, cancellationToken);
        var answer = (await created.Content.ReadFromJsonAsync<JsonObject>(cancellationToken))!;
        if (created.IsSuccessStatusCode)
        {
            return answer["id"]!.GetValue<string>();
        }

        if (created.StatusCode != HttpStatusCode.Conflict)
        {
            throw new InvalidOperationException($"the shop {slug} can't be created: {Describe(answer)}");
        }

        for (string? cursor = ""; cursor is not null;)
        {
            var page = (await client.GetFromJsonAsync<JsonObject>($"/api/shops?limit=100{(cursor.Length > 0 ? $"&cursor={Uri.EscapeDataString(cursor)}" : "")}", cancellationToken))!;
            if (page["items"]!.AsArray().FirstOrDefault(shop => shop!["slug"]!.GetValue<string>() == slug) is { } found)
            {
                return found["id"]!.GetValue<string>();
            }

            cursor = page["nextCursor"]?.GetValue<string>();
        }

        throw new InvalidOperationException($"the shop {slug} belongs to another owner.");
    }

    private static string Describe(JsonObject problem) => problem["errors"] is JsonObject errors
        ? string.Concat(errors.SelectMany(field => field.Value!.AsArray().Select(rule => $"{Environment.NewLine}    {field.Key} {rule}")))
        : problem["detail"]?.GetValue<string>() ?? problem["title"]?.GetValue<string>() ?? problem.ToJsonString();
}
