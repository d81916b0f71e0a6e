using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace Platform.TestSupport;

/// <summary>All endpoints of an application, for tests that must not miss one.</summary>
public static partial class EndpointWalk
{
    /// <summary>All callable routes, such as <c>GET /shops/{id:guid}</c>; <c>*</c> if any method is allowed.</summary>
    public static IReadOnlyList<string> CallsOf(IServiceProvider services) =>
    [
        .. services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
            .SelectMany(endpoint => (endpoint.Metadata.GetMetadata<IHttpMethodMetadata>()?.HttpMethods ?? ["*"])
                .Select(method => $"{method} /{endpoint.RoutePattern.RawText!.Trim('/')}"))
            .Distinct().Order(StringComparer.Ordinal),
    ];

    /// <summary>The request of a call, with its route's parameters filled in from <paramref name="values"/> by their names.</summary>
    public static HttpRequestMessage Request(string call, IReadOnlyDictionary<string, string> values)
    {
        var (method, pattern) = call.Split(' ') switch { [var verb, var rest] => (verb == "*" ? "GET" : verb, rest), _ => throw new ArgumentException(call, nameof(call)) };
        return new HttpRequestMessage(new HttpMethod(method), Parameter().Replace(pattern, match => values[match.Groups["name"].Value]));
    }

    [GeneratedRegex(@"\{\**(?<name>\w+)[^}]*\}", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: Timeout.Infinite)]
    private static partial Regex Parameter();
}
