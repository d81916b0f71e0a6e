using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using Npgsql;
using Platform.TestSupport;
using Spectre.Console;

namespace Platform.Benchmarks.Deployments;

/// <summary>The programs that the platform is measured with and compared to: wrk, pgbench and nginx. Measurements whose program is not installed are skipped.</summary>
internal static partial class ComparisonTools
{
    private static readonly string PgbenchScript = Path.Combine(Path.GetTempPath(), "platform-queue.sql");

    public static async Task CreatePgbenchQueueAsync(LocalPlatform platform)
    {
        await using var connection = new NpgsqlConnection(platform.ConnectionStringTo("queue"));
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand("""
            create table jobs (id bigserial primary key, payload text not null, status text not null default 'queued', token bigint not null default 0);
            create index on jobs (id) where status = 'queued'
            """, connection);
        await command.ExecuteNonQueryAsync();
        await using var source = typeof(ComparisonTools).Assembly.GetManifestResourceStream("Platform.Benchmarks.Deployments.queue.sql")!;
        await using var target = File.Create(PgbenchScript);
        await source.CopyToAsync(target);
    }

    /// <summary>Transactions per second; null if pgbench is not installed.</summary>
    public static async Task<double?> RunPgbenchAsync(LocalPlatform platform, int clients, TimeSpan time)
    {
        var address = new NpgsqlConnectionStringBuilder(platform.ConnectionStringTo("queue"));
        var output = await RunToolAsync("pgbench", "postgresql", [
            "--no-vacuum", "-f", PgbenchScript, "-c", $"{clients}", "-j", "2", "-T", $"{time.TotalSeconds:0}", "-h", address.Host!, "-p", $"{address.Port}", "-U", address.Username!, address.Database!,
        ], ("PGPASSWORD", address.Password!));
        return output is null ? null : Rate(TransactionsPerSecond(), output);
    }

    /// <summary>Requests per second that wrk gets answered with 2xx; null if wrk is not installed.</summary>
    public static async Task<double?> LoadAsync(Uri address, int connections, int seconds)
    {
        var output = await RunToolAsync("wrk", "wrk", ["-t1", $"-c{connections}", $"-d{seconds}s", address.ToString()]);
        if (output?.Contains("Non-2xx", StringComparison.Ordinal) == true)
        {
            throw new InvalidOperationException($"{address} was not always answered with 2xx: {output}");
        }

        return output is null ? null : Rate(RequestsPerSecond(), output);
    }

    /// <summary>Serves a page with nginx and measures that; null if nginx or wrk is not installed.</summary>
    public static async Task<double?> LoadNginxAsync(byte[] page, int connections, int seconds)
    {
        var folder = Directory.CreateTempSubdirectory("platform-nginx-");
        try
        {
            await File.WriteAllBytesAsync(Path.Combine(folder.FullName, "index.html"), page);
            var port = FreePort.Next();
            var configuration = Path.Combine(folder.FullName, "nginx.conf");
            await File.WriteAllTextAsync(configuration, $$"""
                daemon off; pid {{folder.FullName}}/pid; error_log {{folder.FullName}}/error.log; worker_processes auto; user root;
                events { worker_connections 1024; }
                http { access_log off; types { text/html html; } sendfile on; keepalive_requests 1000000; server { listen 127.0.0.1:{{port}}; root {{folder.FullName}}; } }
                """);
            Process nginx;
            try
            {
                nginx = Process.Start(new ProcessStartInfo("nginx") { ArgumentList = { "-c", configuration }, RedirectStandardError = true, UseShellExecute = false })!;
            }
            catch (System.ComponentModel.Win32Exception)
            {
                AnsiConsole.MarkupLine("[grey]nginx was not found, so reads are not compared with it (Debian: nginx).[/]");
                return null;
            }

            try
            {
                await Task.Delay(500);
                return await LoadAsync(new Uri($"http://127.0.0.1:{port}/index.html"), connections, seconds);
            }
            finally
            {
                nginx.Kill(entireProcessTree: true);
                await nginx.WaitForExitAsync();
                nginx.Dispose();
            }
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static async Task<string?> RunToolAsync(string program, string package, IEnumerable<string> arguments, params (string Key, string Value)[] environment)
    {
        var start = new ProcessStartInfo(program) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach (var (key, value) in environment)
        {
            start.Environment[key] = value;
        }

        try
        {
            using var process = Process.Start(start)!;
            var errors = process.StandardError.ReadToEndAsync();
            var output = await process.StandardOutput.ReadToEndAsync();
            await process.WaitForExitAsync();
            return process.ExitCode == 0 ? output : throw new InvalidOperationException($"{program} failed: {await errors}");
        }
        catch (System.ComponentModel.Win32Exception)
        {
            AnsiConsole.MarkupLineInterpolated(CultureInfo.InvariantCulture, $"[grey]{program} was not found, so its measurement is skipped (Debian: {package}).[/]");
            return null;
        }
    }

    private static double? Rate(Regex pattern, string output) =>
        pattern.Match(output) is { Success: true } match ? double.Parse(match.Groups["value"].Value, CultureInfo.InvariantCulture) : null;

    [GeneratedRegex(@"Requests/sec:\s+(?<value>[\d.]+)", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex RequestsPerSecond();

    [GeneratedRegex(@"tps = (?<value>[\d.]+)", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex TransactionsPerSecond();
}
