using System.Security.Cryptography;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.Net.Http.Headers;

namespace Platform.Backend.Console;

/// <summary>
/// The console's static files. They are embedded, so that the console works the same from a build folder, a published one and a test.
/// Their URLs contain a digest of the content, so that browsers can cache them forever.
/// </summary>
internal static class ConsoleAssets
{
    private static readonly Dictionary<string, Asset> All = new[]
    {
        Asset.Load("console.css", "text/css; charset=utf-8"),
        Asset.Load("favicon.svg", "image/svg+xml"),
        Asset.Load("refresh.js", "text/javascript; charset=utf-8"),
    }.ToDictionary(asset => asset.Path, StringComparer.Ordinal);

    public static string StyleSheet { get; } = AddressOf("console.css");

    public static string Icon { get; } = AddressOf("favicon.svg");

    public static string RefreshScript { get; } = AddressOf("refresh.js");

    public static Results<FileContentHttpResult, NotFound> Get(string file, HttpContext context)
    {
        if (!All.TryGetValue(file, out var asset))
            return TypedResults.NotFound();

        context.Response.Headers.CacheControl = "public, max-age=31536000, immutable";
        context.Response.Headers.XContentTypeOptions = "nosniff";
        return TypedResults.Bytes(asset.Content, asset.ContentType, entityTag: new EntityTagHeaderValue($"\"{asset.Digest}\""));
    }

    private static string AddressOf(string name) => "/assets/" + All.Values.Single(asset => asset.Name == name).Path;

    private sealed record Asset(string Name, string Path, string ContentType, string Digest, byte[] Content)
    {
        public static Asset Load(string name, string contentType)
        {
            using var stream = typeof(ConsoleAssets).Assembly.GetManifestResourceStream("console/" + name)!;
            var content = new byte[stream.Length];
            stream.ReadExactly(content);
            var digest = Convert.ToHexStringLower(SHA256.HashData(content))[..16];
            return new(name, name.Replace(".", $".{digest}.", StringComparison.Ordinal), contentType, digest, content);
        }
    }
}
