using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Net.Security;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Logging;

namespace Aspire.Hosting.Dcp;

/// <param name="CliPath">The program <c>dcp</c>.</param>
/// <param name="RandomizePorts">Give every proxied endpoint a free port, also those that ask for a certain one.</param>
internal sealed record DcpOptions(string CliPath, bool RandomizePorts, string? ContainerRuntime)
{
    public static DcpOptions From(IConfiguration configuration, Assembly? appHost) => new(
        configuration["DcpPublisher:CliPath"]
            ?? (configuration["ASPIRE_DCP_PATH"] is { Length: > 0 } directory ? Path.Combine(directory, "dcp") : null)
            ?? Metadata(appHost)
            ?? Metadata(typeof(DcpOptions).Assembly)!,
        configuration.GetValue("DcpPublisher:RandomizePorts", false),
        configuration["DcpPublisher:ContainerRuntime"] ?? configuration["ASPIRE_CONTAINER_RUNTIME"]);

    private static string? Metadata(Assembly? assembly) =>
        assembly?.GetCustomAttributes<AssemblyMetadataAttribute>().FirstOrDefault(a => string.Equals(a.Key, "dcpclipath", StringComparison.OrdinalIgnoreCase))?.Value;
}

/// <summary>The process that runs the others: its start, its end, and its Kubernetes-style API.</summary>
internal sealed class DcpServer(DcpOptions options, ILogger<DcpServer> logger) : IAsyncDisposable
{
    private const string GroupVersion = "usvc-dev.developer.microsoft.com/v1";
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(10);

    // what is meant for the AppHost alone
    private static readonly string[] NotInherited =
    [
        "ASPNETCORE_URLS", "ASPNETCORE_HTTP_PORTS", "ASPNETCORE_HTTPS_PORTS", "ASPNETCORE_ENVIRONMENT", "DOTNET_ENVIRONMENT", "DOTNET_LAUNCH_PROFILE",
    ];

    private HttpClient? _client;
    private string? _kubeconfig;
    private int _stopped;

    /// <exception cref="DistributedApplicationException">The program is missing or did not start.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        if (!File.Exists(options.CliPath))
            throw new DistributedApplicationException($"Aspire's orchestrator (DCP) is not at '{options.CliPath}': ./run and ./test fetch it.");
        var folder = Directory.CreateTempSubdirectory("aspire-dcp-").FullName;
        var kubeconfig = _kubeconfig = Path.Combine(folder, "kubeconfig");
        var certificate = WriteCertificate(folder);
        var start = new ProcessStartInfo(options.CliPath)
        {
            ArgumentList =
            {
                "start-apiserver", "--monitor", Environment.ProcessId.ToString(System.Globalization.CultureInfo.InvariantCulture), "--monitor-interval", "1", "--detach",
                "--kubeconfig", kubeconfig,
                "--tls-cert-file", certificate.CertificateFile, "--tls-key-file", certificate.KeyFile,
            },
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            UseShellExecute = false,
        };
        if (options.ContainerRuntime is not null)
        {
            start.ArgumentList.Add("--container-runtime");
            start.ArgumentList.Add(options.ContainerRuntime);
        }

        foreach (var name in NotInherited)
            start.Environment.Remove(name);
        start.Environment["DCP_SESSION_FOLDER"] = folder;

        using var process = Process.Start(start)!;
        process.StandardInput.Close();
        // Only the process that detaches the server writes here.
        var output = new StringBuilder();
        process.OutputDataReceived += Collect;
        process.ErrorDataReceived += Collect;
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();

        var deadline = Stopwatch.StartNew();
        while (!File.Exists(kubeconfig) || (await File.ReadAllTextAsync(kubeconfig, cancellationToken).ConfigureAwait(false)) is not { Length: > 0 } text || !TryConnect(text, certificate.Certificate))
        {
            if (deadline.Elapsed > StartTimeout || (process.HasExited && process.ExitCode != 0))
                throw new DistributedApplicationException($"Aspire's orchestrator (DCP) did not start: {Output()}");
            await Task.Delay(20, cancellationToken).ConfigureAwait(false);
        }

        logger.LogDebug("DCP listens at {Address} after {Milliseconds} ms.", _client!.BaseAddress, deadline.ElapsedMilliseconds);

        void Collect(object sender, DataReceivedEventArgs line)
        {
            lock (output)
                output.AppendLine(line.Data);
        }

        string Output()
        {
            lock (output)
                return output.ToString().Trim();
        }
    }

    public async Task CreateAsync(string kind, string plural, string name, JsonObject annotations, JsonObject spec, CancellationToken cancellationToken)
    {
        var body = new JsonObject
        {
            ["apiVersion"] = GroupVersion,
            ["kind"] = kind,
            ["metadata"] = new JsonObject { ["name"] = name, ["annotations"] = annotations },
            ["spec"] = spec,
        };
        using var response = await Client.PostAsJsonAsync(plural, body, cancellationToken).ConfigureAwait(false);
        await EnsureSuccessAsync(response, $"create {kind} '{name}'", cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Asks DCP to end the process or container; its object stays.</summary>
    public async Task RequestStopAsync(string plural, string name, CancellationToken cancellationToken)
    {
        using var content = MergePatch("""{"spec":{"stop":true}}""");
        using var response = await Client.PatchAsync($"{plural}/{name}", content, cancellationToken).ConfigureAwait(false);
        if (response.StatusCode != HttpStatusCode.NotFound)
            await EnsureSuccessAsync(response, $"stop '{name}'", cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Deletes the object, if there is one, and waits until it is gone.</summary>
    public async Task DeleteAsync(string plural, string name, CancellationToken cancellationToken)
    {
        using (var response = await Client.DeleteAsync($"{plural}/{name}", cancellationToken).ConfigureAwait(false))
        {
            if (response.StatusCode == HttpStatusCode.NotFound)
                return;
            await EnsureSuccessAsync(response, $"delete '{name}'", cancellationToken).ConfigureAwait(false);
        }

        while (true)
        {
            using var response = await Client.GetAsync($"{plural}/{name}", cancellationToken).ConfigureAwait(false);
            if (response.StatusCode == HttpStatusCode.NotFound)
                return;
            await Task.Delay(50, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>The objects of a kind, now and whenever one changes; reconnects until cancelled.</summary>
    public async IAsyncEnumerable<(string Type, JsonElement Object)> WatchAsync(string plural, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        while (true)
        {
            await foreach (var line in LinesAsync($"{plural}?watch=true", cancellationToken).ConfigureAwait(false))
            {
                using var json = JsonDocument.Parse(line);
                yield return (json.RootElement.GetProperty("type").GetString()!, json.RootElement.GetProperty("object").Clone());
            }

            await Task.Delay(200, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>The lines that a process writes, until it has ended.</summary>
    /// <param name="source">stdout or stderr.</param>
    public IAsyncEnumerable<string> LogsAsync(string plural, string name, string source, CancellationToken cancellationToken) =>
        LinesAsync($"{plural}/{name}/log?source={source}&follow=true&timestamps=true", cancellationToken);

    /// <summary>Ends all processes and DCP itself; returns when they are gone or after ten seconds.</summary>
    public async Task StopAsync()
    {
        if (_client is null || Interlocked.Exchange(ref _stopped, 1) == 1)
            return;
        using var timeout = new CancellationTokenSource(StopTimeout);
        try
        {
            using var content = MergePatch("""{"status":"Stopping","shutdownResourceCleanup":"Full"}""");
            using var stopping = await _client.PatchAsync("/admin/execution", content, timeout.Token).ConfigureAwait(false);
            await EnsureSuccessAsync(stopping, "stop", timeout.Token).ConfigureAwait(false);
            // It answers for as long as there is something to end, and then no more.
            while (true)
            {
                var state = await _client.GetFromJsonAsync<JsonElement>("/admin/execution", timeout.Token).ConfigureAwait(false);
                if (state.GetProperty("status").GetString() == "CleanupComplete")
                    break;
                await Task.Delay(50, timeout.Token).ConfigureAwait(false);
            }
        }
        // the latter when it goes in the middle of an answer
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            logger.LogDebug("DCP is gone.");
        }
        catch (OperationCanceledException)
        {
            logger.LogWarning("DCP did not end everything within {Seconds} s; it goes on while this process ends.", StopTimeout.TotalSeconds);
            return;
        }

        EndHelpers();
    }

    // Its controllers and their watchers look only every two seconds whether they are still needed, and what they ran has ended. A watcher whose process
    // has not ended, because it had only just begun, is left: it ends the process once the controllers are gone.
    private void EndHelpers()
    {
        var helpers = Process.GetProcessesByName("dcp").Select(process => (Process: process, Arguments: ArgumentsOf(process))).ToList();
        var controllers = helpers.FirstOrDefault(helper => helper.Arguments.Contains("run-controllers") && helper.Arguments.Contains(_kubeconfig)).Process?.Id
            .ToString(System.Globalization.CultureInfo.InvariantCulture);
        foreach (var (process, arguments) in helpers)
        {
            using (process)
            {
                var isController = arguments.Contains("run-controllers") && arguments.Contains(_kubeconfig);
                var isIdleWatcher = arguments.Contains("monitor-process") && controllers is not null && After(arguments, "--monitor") == controllers
                    && !Directory.Exists($"/proc/{After(arguments, "--child")}");
                if (isController || isIdleWatcher)
                    process.Kill();
            }
        }

        static string? After(string[] arguments, string name) => arguments.SkipWhile(argument => argument != name).ElementAtOrDefault(1);

        static string[] ArgumentsOf(Process process)
        {
            try
            {
                return File.ReadAllText($"/proc/{process.Id}/cmdline").Split('\0');
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // gone, somebody else's, or no such files on this system: they end by themselves
                return [];
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync().ConfigureAwait(false);
        _client?.Dispose();
    }

    private HttpClient Client => _client ?? throw new InvalidOperationException("DCP is not running.");

    private async IAsyncEnumerable<string> LinesAsync(string path, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var response = await Client.GetAsync(path, HttpCompletionOption.ResponseHeadersRead, cancellationToken).ConfigureAwait(false);
        if (!response.IsSuccessStatusCode)
            yield break;
        using var reader = new StreamReader(await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false));
        while (true)
        {
            string? line;
            try
            {
                line = await reader.ReadLineAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (IOException)
            {
                yield break;
            }

            if (line is null)
                yield break;
            if (line.Length > 0)
                yield return line;
        }
    }

    private static async Task EnsureSuccessAsync(HttpResponseMessage response, string what, CancellationToken cancellationToken)
    {
        if (!response.IsSuccessStatusCode)
            throw new DistributedApplicationException($"DCP refused to {what}: {await response.Content.ReadAsStringAsync(cancellationToken).ConfigureAwait(false)}");
    }

    // DCP takes no other spelling: a character set makes it refuse the whole.
    private static ByteArrayContent MergePatch(string json) => new(Encoding.UTF8.GetBytes(json)) { Headers = { ContentType = new MediaTypeHeaderValue("application/merge-patch+json") } };

    // DCP's own RSA key takes it seconds to find; this one is there at once.
    private static (string CertificateFile, string KeyFile, X509Certificate2 Certificate) WriteCertificate(string folder)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=127.0.0.1", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        names.AddIpAddress(IPAddress.IPv6Loopback);
        names.AddDnsName("localhost");
        request.CertificateExtensions.Add(names.Build());
        var certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddYears(1));
        var files = (Certificate: Path.Combine(folder, "cert.pem"), Key: Path.Combine(folder, "key.pem"));
        File.WriteAllText(files.Certificate, certificate.ExportCertificatePem());
        File.WriteAllText(files.Key, key.ExportPkcs8PrivateKeyPem());
        return (files.Certificate, files.Key, certificate);
    }

    private bool TryConnect(string kubeconfig, X509Certificate2 certificate)
    {
        var lines = kubeconfig.Split('\n', StringSplitOptions.TrimEntries);
        var server = Value("server: ");
        var token = Value("token: ");
        if (server is null || token is null)
            return false;
        var handler = new SocketsHttpHandler
        {
            UseProxy = false,
            // One watch or log stream each would otherwise take up the streams that calls need.
            EnableMultipleHttp2Connections = true,
            SslOptions = new SslClientAuthenticationOptions
            {
                RemoteCertificateValidationCallback = (_, presented, _, _) => presented is X509Certificate2 other && other.RawDataMemory.Span.SequenceEqual(certificate.RawDataMemory.Span),
            },
        };
        _client = new HttpClient(handler) { BaseAddress = new Uri($"{server}/apis/{GroupVersion}/"), Timeout = Timeout.InfiniteTimeSpan, DefaultRequestVersion = HttpVersion.Version20 };
        _client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        return true;

        string? Value(string field) => lines.FirstOrDefault(l => l.StartsWith(field, StringComparison.Ordinal))?[field.Length..];
    }
}
