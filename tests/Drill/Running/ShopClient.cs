using System.Globalization;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json;
using System.Text.Json.Nodes;
using Platform.Drill.Planning;
using Platform.Drill.Systems;

namespace Platform.Drill.Running;

/// <summary>
/// Performs the operations of one shop sequentially, as a well-behaved client: operations with a key are retried until there is a final answer, those without
/// are sent once.
/// </summary>
internal sealed class ShopClient : IDisposable
{
    private static readonly TimeSpan RequestTimeout = TimeSpan.FromSeconds(4);

    private readonly PlatformUnderDrill _platform;
    private readonly History _history;
    private readonly ShopClientState _shop;
    private readonly string _run;
    private readonly HttpClient _http = new(new SocketsHttpHandler { PooledConnectionIdleTimeout = TimeSpan.FromSeconds(5) })
    {
        Timeout = RequestTimeout,
        DefaultRequestHeaders = { { "Authorization", $"Bearer {PlatformUnderDrill.AdminKey}" } },
    };
    private Guid? _lastDeployment;
    private Guid? _lastBroken;

    public ShopClient(PlatformUnderDrill platform, History history, ShopClientState shop, string run) => (_platform, _history, _shop, _run) = (platform, history, shop, run);

    public async Task RunAsync(IReadOnlyList<Operation> operations, CancellationToken cancellationToken)
    {
        foreach (var operation in operations)
        {
            var early = operation.At - (DateTimeOffset.UtcNow - _history.Begin);
            if (early > TimeSpan.Zero)
                await Task.Delay(early, cancellationToken);
            await DoAsync(operation, cancellationToken);
        }
    }

    public void Dispose() => _http.Dispose();

    private async Task DoAsync(Operation operation, CancellationToken cancellationToken)
    {
        var shop = _shop.Current ?? Guid.Empty;
        switch (operation.Kind)
        {
            case OperationKind.Create:
                if (await CallAsync(operation, HttpMethod.Post, "/api/shops", Shop(operation, withSlug: true), null, cancellationToken) is { Status: 201, Id: { } created } && !_shop.Shops.Contains(created))
                {
                    _shop.Shops.Add(created);
                    (_lastDeployment, _lastBroken) = (null, null);
                }

                break;
            case OperationKind.Change:
                if (await ETagAsync(operation, shop, cancellationToken) is { } tag)
                    await CallAsync(operation, HttpMethod.Put, $"/api/shops/{shop}", Shop(operation, withSlug: false), tag, cancellationToken);
                break;
            case OperationKind.Deploy:
            case OperationKind.DeployBroken:
                var broken = operation.Kind == OperationKind.DeployBroken;
                // Some deployments use another version of the template.
                var body = broken ? new JsonObject { ["version"] = DrillTemplate.BrokenVersion }
                    : operation.Number % 3 == 0 ? new JsonObject { ["version"] = DrillTemplate.Version(operation.Version) }
                    : null;
                if (await CallAsync(operation, HttpMethod.Post, $"/api/shops/{shop}/deployments", body, null, cancellationToken) is { Status: 202, Id: { } deployment })
                {
                    _lastDeployment = deployment;
                    _lastBroken = broken ? deployment : _lastBroken;
                }

                break;
            case OperationKind.Cancel:
                await CallAsync(operation, HttpMethod.Post, $"/api/deployments/{_lastDeployment ?? Guid.Empty}/cancel", null, null, cancellationToken);
                break;
            case OperationKind.Retry:
                await CallAsync(operation, HttpMethod.Post, $"/api/deployments/{_lastBroken ?? _lastDeployment ?? Guid.Empty}/retry", null, null, cancellationToken);
                break;
            case OperationKind.RollBack:
                await CallAsync(operation, HttpMethod.Post, $"/api/shops/{shop}/rollback", new JsonObject(), null, cancellationToken);
                break;
            case OperationKind.Delete:
                _shop.DeletionFirstRequestedAt ??= DateTimeOffset.UtcNow;
                await CallAsync(operation, HttpMethod.Delete, $"/api/shops/{shop}", null, null, cancellationToken);
                break;
        }
    }

    private JsonObject Shop(Operation operation, bool withSlug)
    {
        var shop = new JsonObject
        {
            // The name contains the operation's number, so that a served page shows which change it contains.
            ["name"] = string.Create(CultureInfo.InvariantCulture, $"{_shop.Slug} as of {operation.Number}"),
            ["template"] = new JsonObject { ["name"] = DrillTemplate.Name, ["version"] = DrillTemplate.Version(operation.Version) },
            ["settings"] = new JsonObject(),
            ["products"] = new JsonArray(
                new JsonObject { ["sku"] = "a", ["name"] = "Tea", ["price"] = 12.5m, ["currency"] = "EUR" },
                new JsonObject { ["sku"] = "b", ["name"] = "Mug", ["price"] = 18m, ["currency"] = "EUR" }),
        };
        if (withSlug)
            shop["slug"] = _shop.Slug;
        return shop;
    }

    /// <summary>The final answer; null if a call without a key got none.</summary>
    private async Task<Call?> CallAsync(Operation operation, HttpMethod method, string path, JsonObject? body, string? ifMatch, CancellationToken cancellationToken)
    {
        var key = operation.Key ? $"{_run}-{operation.Number}" : null;
        var json = body?.ToJsonString();
        if (operation.Twice)
        {
            // Two concurrent calls, as after a double click. Both must get the same answer.
            var both = await Task.WhenAll(Enumerable.Range(0, 2).Select(n => UntilFinalAsync(operation with { Backend = operation.Backend + n }, method, path, json, ifMatch, key, cancellationToken)));
            return both[0];
        }

        return await UntilFinalAsync(operation, method, path, json, ifMatch, key, cancellationToken);
    }

    private async Task<Call?> UntilFinalAsync(Operation operation, HttpMethod method, string path, string? json, string? ifMatch, string? key, CancellationToken cancellationToken)
    {
        for (var attempt = 0; ; attempt++)
        {
            var call = await SendAsync(operation, operation.Backend + attempt, method, path, json, ifMatch, key, cancellationToken);
            if (call.IsFinal)
                return call;
            if (key is null)
                return null;
            await Task.Delay(Math.Min(20 * (attempt + 1), 150), cancellationToken);
        }
    }

    private async Task<string?> ETagAsync(Operation operation, Guid shop, CancellationToken cancellationToken)
    {
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                using var response = await _http.GetAsync(Address(operation.Backend + attempt, $"/api/shops/{shop}"), cancellationToken);
                if ((int)response.StatusCode is 200 or 404)
                    return response.Headers.ETag?.ToString();
            }
            catch (Exception exception) when (exception is HttpRequestException or SocketException or TaskCanceledException && !cancellationToken.IsCancellationRequested)
            {
                // Try again.
            }

            await Task.Delay(50, cancellationToken);
        }
    }

    private async Task<Call> SendAsync(Operation operation, int backend, HttpMethod method, string path, string? json, string? ifMatch, string? key, CancellationToken cancellationToken)
    {
        backend %= PlatformUnderDrill.Backends;
        using var request = new HttpRequestMessage(method, Address(backend, path));
        if (json is not null)
            request.Content = new StringContent(json, System.Text.Encoding.UTF8, "application/json");
        if (key is not null)
            request.Headers.Add("Idempotency-Key", key);
        if (ifMatch is not null)
            request.Headers.TryAddWithoutValidation("If-Match", ifMatch);
        var start = DateTimeOffset.UtcNow;
        Call call;
        try
        {
            using var response = await _http.SendAsync(request, cancellationToken);
            var answer = await ReadAsync(response, cancellationToken);
            Guid? id = answer.ValueKind == JsonValueKind.Object && answer.TryGetProperty("id", out var given) ? given.GetGuid() : null;
            var detail = answer.ValueKind == JsonValueKind.Object && answer.TryGetProperty("detail", out var text) ? text.ToString() : "";
            if (response.Headers.Contains("Idempotency-Replayed"))
                detail += "(replayed)";
            call = new(operation, start, DateTimeOffset.UtcNow, backend, $"{method} {path}", key, (int)response.StatusCode, id, detail);
        }
        catch (Exception exception) when (exception is HttpRequestException or SocketException or IOException or TaskCanceledException or JsonException && !cancellationToken.IsCancellationRequested)
        {
            call = new(operation, start, DateTimeOffset.UtcNow, backend, $"{method} {path}", key, null, null, exception.Message);
        }

        _history.Calls.Enqueue(call);
        return call;
    }

    private static async Task<JsonElement> ReadAsync(HttpResponseMessage response, CancellationToken cancellationToken) =>
        response.Content.Headers.ContentType?.MediaType is "application/json" or "application/problem+json"
            ? await response.Content.ReadFromJsonAsync<JsonElement>(cancellationToken)
            : default;

    private Uri Address(int backend, string path) =>
        new($"http://127.0.0.1:{_platform.Of(Role.Backend).ElementAt(backend % PlatformUnderDrill.Backends).Front.Port}{path}");
}
