using System.Net;
using System.Net.Http.Json;
using Platform.Backend.Tests.Console;
using Platform.TestSupport;

namespace Platform.Backend.Tests.Owners;

public sealed class SecretsStaySecretTests(PostgresServer server) : IAsyncLifetime
{
    private readonly BackendHost _backend = new(server);
    private readonly RecordedSignals _signals = new();

    public async ValueTask InitializeAsync()
    {
        // far more than anybody has on
        foreach (var category in (string[])["Default", "Microsoft.AspNetCore", "Npgsql", "System.Net.Http.HttpClient"])
            _backend.Set($"Logging:LogLevel:{category}", "Debug");
        _backend.Configure = _signals.Record;
        // nothing listens there, but spans get their names and tags only in a service that exports
        _backend.Set("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
        await _backend.InitializeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _backend.DisposeAsync();
        _signals.Dispose();
    }

    [Fact]
    public async Task Keys_tokens_cookies_and_passwords_are_in_no_log_line_span_answer_or_description()
    {
        var answers = new List<string>();
        var made = await _backend.MakeKeyAsync("deploy");
        var key = (string)made["key"]!;
        const string WrongKey = "plat_this-is-a-wrong-key-of-the-tests";

        using var owner = _backend.Connect(key);
        using var wrong = _backend.Connect(WrongKey);
        foreach (var client in (HttpClient[])[owner, wrong, _backend.Client])
        {
            foreach (var path in (string[])["/api/shops", "/api/shops/nonsense", "/api/deployments/00000000-0000-7000-8000-000000000000", "/api/status/calls", "/api/keys", "/health", "/metrics", "/openapi/v1.json"])
                answers.Add(await (await client.GetAsync(path)).Content.ReadAsStringAsync());
            answers.Add(await (await client.PostAsync("/api/shops", new StringContent("{ not json"))).Content.ReadAsStringAsync());
            answers.Add(await (await client.PostAsJsonAsync("/api/keys", new { name = "x" })).Content.ReadAsStringAsync());
        }

        using var browser = new ConsoleBrowser(_backend.Client.BaseAddress!, key);
        await browser.OpenAsync("/resilience");
        answers.Add(browser.Page.DocumentElement.OuterHtml);
        await browser.OpenAsync("/keys", HttpStatusCode.Forbidden);
        answers.Add(browser.Page.DocumentElement.OuterHtml);
        var session = browser.Cookies.GetAllCookies().Single(cookie => cookie.Name == "platform-session").Value;
        await browser.PressAsync("Sign out");
        await browser.SignInAsync(WrongKey, HttpStatusCode.Unauthorized);
        answers.Add(browser.Page.DocumentElement.OuterHtml);

        _signals.All.ShouldContain(line => line.StartsWith("span GET /api/shops", StringComparison.Ordinal));
        var password = new Npgsql.NpgsqlConnectionStringBuilder(_backend.Database.ConnectionString).Password!;
        foreach (var secret in (string[])[key, WrongKey, BackendHost.AdminKey, BackendHost.Token, session, password])
        {
            _signals.ShouldNotHave(secret);
            answers.ShouldNotContain(answer => answer.Contains(secret, StringComparison.Ordinal));
        }
    }
}
