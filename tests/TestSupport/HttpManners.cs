using System.Net;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace Platform.TestSupport;

/// <summary>Checks over a real socket what HTTP asks of every endpoint: HEAD, OPTIONS, Allow and Content-Encoding.</summary>
public static class HttpManners
{
    // Differ from one request to the next, or describe a body that HEAD doesn't have.
    private static readonly string[] Incomparable = ["Date", "Transfer-Encoding", "Content-Length"];

    /// <summary>Returns one line per violation. <paramref name="values"/> fill in the routes' parameters.</summary>
    public static async Task<IReadOnlyList<string>> FindViolationsAsync(
        IServiceProvider services, HttpClient client, IReadOnlyDictionary<string, string> values, IReadOnlyDictionary<string, string>? internalHeaders = null)
    {
        var violations = new List<string>();
        var calls = EndpointWalk.CallsOf(services);
        foreach (var call in calls.Where(call => call.StartsWith("GET ", StringComparison.Ordinal)))
        {
            using var get = await SendAsync(call, null);
            using var head = await SendAsync(call, HttpMethod.Head);
            Check(call, head.StatusCode == get.StatusCode, $"GET is {(int)get.StatusCode} and HEAD {(int)head.StatusCode}");
            Check(call, HeadersOf(head).SequenceEqual(HeadersOf(get)), $"GET has the headers {string.Join(' ', HeadersOf(get))} and HEAD {string.Join(' ', HeadersOf(head))}");
            Check(call, (await head.Content.ReadAsByteArrayAsync()).Length == 0, "HEAD has a body");
        }

        foreach (var path in calls.GroupBy(call => call.Split(' ')[1], call => call.Split(' ')[0]))
        {
            var allowed = path.Concat(path.Contains("GET") ? ["HEAD", "OPTIONS"] : ["OPTIONS"]).Order(StringComparer.Ordinal).ToList();
            using var options = await SendAsync($"OPTIONS {path.Key}", null);
            Check(path.Key, options.StatusCode == HttpStatusCode.NoContent, $"OPTIONS is {(int)options.StatusCode}");
            Check(path.Key, options.Content.Headers.Allow.SequenceEqual(allowed), $"OPTIONS allows {options.Content.Headers.Allow}, not {string.Join(", ", allowed)}");
            Check(path.Key, !options.Headers.Any(header => header.Key.StartsWith("Access-Control-", StringComparison.OrdinalIgnoreCase)), "OPTIONS implies CORS");
            using var unknown = await SendAsync($"PROPFIND {path.Key}", null);
            Check(path.Key, unknown.StatusCode == HttpStatusCode.MethodNotAllowed, $"PROPFIND is {(int)unknown.StatusCode}");
            Check(path.Key, unknown.Content.Headers.Allow.SequenceEqual(allowed), $"PROPFIND allows {unknown.Content.Headers.Allow}, not {string.Join(", ", allowed)}");
        }

        foreach (var call in calls.Where(call => call.Split(' ')[0] is "POST" or "PUT" or "PATCH"))
        {
            using var response = await SendAsync(call, null, new ByteArrayContent([0x28, 0xb5, 0x2f, 0xfd]) { Headers = { { "Content-Encoding", "zstd" }, { "Content-Type", ContentTypeOf(services, call) } } });
            Check(call, response.StatusCode == HttpStatusCode.UnsupportedMediaType, $"a body with Content-Encoding: zstd is {(int)response.StatusCode}");
            Check(call, response.Headers.TryGetValues("Accept-Encoding", out var encodings) && encodings.SequenceEqual(["identity"]), "no Accept-Encoding says what is supported");
        }

        return violations;

        async Task<HttpResponseMessage> SendAsync(string call, HttpMethod? instead, HttpContent? content = null)
        {
            using var request = EndpointWalk.Request(call, values);
            request.Method = instead ?? request.Method;
            request.Content = content;
            foreach (var (name, value) in internalHeaders ?? new Dictionary<string, string>())
                request.Headers.TryAddWithoutValidation(name, value);
            return await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        }

        void Check(string call, bool holds, string violation)
        {
            if (!holds)
                violations.Add($"{call}: {violation}");
        }
    }

    // Routing itself answers 415 to a Content-Type that the endpoint doesn't accept.
    private static string ContentTypeOf(IServiceProvider services, string call) => services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
        .Where(endpoint => call.Split(' ')[1].Trim('/') == endpoint.RoutePattern.RawText!.Trim('/') && endpoint.Metadata.GetMetadata<IHttpMethodMetadata>()?.HttpMethods.Contains(call.Split(' ')[0]) == true)
        .Select(endpoint => endpoint.Metadata.GetMetadata<IAcceptsMetadata>()?.ContentTypes[0]).FirstOrDefault() ?? "application/json";

    private static IEnumerable<string> HeadersOf(HttpResponseMessage response) =>
        response.Headers.NonValidated.Concat(response.Content.Headers.NonValidated).Select(header => header.Key).Except(Incomparable).Order(StringComparer.Ordinal);
}
