using System.Diagnostics;

namespace Platform.Backend.Tests.Owners;

public sealed class StartTests
{
    [Fact]
    public async Task Outside_of_development_Backend_does_not_start_without_its_secrets_and_says_which_are_missing()
    {
        var (code, output) = await RunAsync([]);
        code.ShouldNotBe(0);
        output.ShouldContain("AdminKey is missing");
        output.ShouldContain("InternalToken is missing");
        output.ShouldContain("give ConnectionStrings:backend-db a Password");

        (_, output) = await RunAsync([("AdminKey", "the-admin-key"), ("ConnectionStrings__backend-db", "Host=127.0.0.1;Port=1;Username=x;Password=the-password")]);
        output.ShouldContain("InternalToken is missing");
        output.ShouldNotContain("AdminKey is missing");
        output.ShouldNotContain("the-admin-key");
        output.ShouldNotContain("the-password");
    }

    [Fact]
    public async Task Half_a_provider_is_said_to_be_none()
    {
        var (code, output) = await RunAsync([("Oidc__Authority", "https://id.example"), ("AdminKey", "x"), ("InternalToken", "x"), ("ConnectionStrings__backend-db", "Host=127.0.0.1;Port=1;Username=x;Password=x")]);
        code.ShouldNotBe(0);
        output.ShouldContain("Oidc:Authority, Oidc:ClientId and Oidc:ClientSecret must be set together.");
    }

    private static async Task<(int Code, string Output)> RunAsync((string Key, string Value)[] settings)
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "Backend.dll")])
        {
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["ASPNETCORE_URLS"] = "http://127.0.0.1:0", ["DOTNET_ENVIRONMENT"] = "Production" },
        };
        foreach (var (key, value) in settings)
            start.Environment[key] = value;
        using var process = Process.Start(start)!;
        try
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
            limit.CancelAfter(TimeSpan.FromSeconds(90));
            var output = process.StandardOutput.ReadToEndAsync(limit.Token);
            var error = await process.StandardError.ReadToEndAsync(limit.Token);
            await process.WaitForExitAsync(limit.Token);
            return (process.ExitCode, await output + error);
        }
        finally
        {
            if (!process.HasExited)
                process.Kill();
        }
    }
}
