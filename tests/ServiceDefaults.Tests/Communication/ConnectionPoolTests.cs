using System.Text.RegularExpressions;
using Platform.TestSupport;

namespace Platform.ServiceDefaults.Tests.Communication;

/// <summary>Every call goes through the client factory, so that no connection is made past the pipeline and the one pool.</summary>
public sealed partial class ConnectionPoolTests
{
    [Fact]
    public void Nothing_makes_an_HTTP_client_or_a_connection_pool_of_its_own()
    {
        var made = new[] { "AppHost", "Backend", "ServiceDefaults", "ServiceDefaults.Postgres", "StoreDeployer", "TemplateRegistry" }
            .SelectMany(folder => Directory.EnumerateFiles(Path.Combine(RepositoryRoot.Path, folder), "*.*", SearchOption.AllDirectories))
            .Where(file => Path.GetExtension(file) is ".cs" or ".razor")
            .Where(file => !file.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}", StringComparison.Ordinal))
            .Where(file => Made().IsMatch(File.ReadAllText(file)))
            .Select(file => Path.GetFileName(file));

        made.ShouldBe(["SharedSocketsHandler.cs"]);
    }

    [GeneratedRegex(@"new\s+(?:HttpClient|HttpClientHandler|SocketsHttpHandler)\s*[({]|\b(?:HttpClient|HttpClientHandler|SocketsHttpHandler)\s+\w+\s*(?:\{[^}]*\}\s*)?=>?\s*new\s*\(", RegexOptions.None, matchTimeoutMilliseconds: Timeout.Infinite)]
    private static partial Regex Made();
}
