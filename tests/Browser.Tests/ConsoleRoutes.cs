using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc.Testing;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;

namespace Platform.Browser.Tests;

/// <summary>The console's pages, read from Backend's endpoints, so that a new page can't be missed.</summary>
internal static partial class ConsoleRoutes
{
    /// <summary>The patterns of all pages: <c>/shops/{id:guid}</c>.</summary>
    public static async Task<IReadOnlyList<string>> ReadAsync()
    {
        // Any type of Backend's names its assembly; Program would be ambiguous, because AppHost has one, too.
        await using var factory = new WebApplicationFactory<Backend.Shops.Shop>().WithWebHostBuilder(builder =>
        {
            // It never gets a database, and needs none to list its endpoints.
            builder.UseSetting("ConnectionStrings:backend-db", "Host=127.0.0.1;Port=1;Username=nobody;Database=none");
            builder.UseSetting("InternalToken", "token-of-the-tests");
            builder.UseSetting("AdminKey", "admin-key-of-the-tests");
            builder.UseSetting("Logging:LogLevel:Default", "None");
        });
        return
        [
            .. factory.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
                .Where(endpoint => endpoint.Metadata.Any(metadata => metadata.GetType().Name == "ConsolePages")
                    && endpoint.Metadata.GetMetadata<IHttpMethodMetadata>()?.HttpMethods.Contains("GET") == true)
                .Select(endpoint => $"/{endpoint.RoutePattern.RawText!.Trim('/')}"),
        ];
    }

    public static bool Matches(string pattern, string path) =>
        Regex.IsMatch(path, $"^{Parameter().Replace(pattern, match => match.Groups["type"].Value == "guid" ? "[0-9a-f-]{36}" : "[^/]+")}$", RegexOptions.ExplicitCapture, TimeSpan.FromSeconds(1));

    [GeneratedRegex(@"\{(?<name>\w+)(:(?<type>\w+))?\}", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Parameter();
}
