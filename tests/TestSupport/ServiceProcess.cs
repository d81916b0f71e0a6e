using System.Collections.Concurrent;
using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Platform.TestSupport;

/// <summary>One of the platform's services in a process of its own, which can be killed, paused and started again.</summary>
public partial class ServiceProcess : IAsyncDisposable
{
    private const int Terminate = 15;
    private const int Continue = 18;
    private const int Stop = 19;
    private const int KeptLines = 3_000;

    private readonly string _service;
    private readonly ConcurrentQueue<string> _log = new();
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(2) };
    private Process? _process;

    /// <summary>Creates a service process without starting it.</summary>
    /// <param name="name">The name used in error messages.</param>
    /// <param name="service">The project's name. It must be built in this process's configuration (Debug or Release).</param>
    /// <param name="folder">Its working directory; created if missing.</param>
    public ServiceProcess(string name, string service, string folder)
    {
        (Name, Folder, _service) = (name, folder, service);
        Directory.CreateDirectory(folder);
    }

    /// <summary>The name used in error messages.</summary>
    public string Name { get; }

    /// <summary>The checkout whose build the next start runs. By default this one; set it to run another version.</summary>
    public string Repository { get; set; } = RepositoryRoot.Path;

    /// <summary>Environment variables to set in addition to its address, evaluated at each start.</summary>
    public Func<IReadOnlyDictionary<string, string>> Settings { get; init; } = () => new Dictionary<string, string>();

    /// <summary>Where it listens on 127.0.0.1.</summary>
    public int Port { get; } = FreePort.Next();

    /// <summary>The process id; after an exit, the last one.</summary>
    public int ProcessId { get; private set; }

    /// <summary>The process ids of all starts.</summary>
    public ConcurrentBag<int> ProcessIds { get; } = [];

    /// <summary>Whether the process is running.</summary>
    public bool IsRunning => _process is { HasExited: false };

    /// <summary>The end of its output.</summary>
    public IReadOnlyList<string> Log => [.. _log];

    /// <summary>Its working directory.</summary>
    protected string Folder { get; }

    /// <summary>Starts it, unless it is running.</summary>
    public void Start()
    {
        if (IsRunning)
            return;
        // bin/Release/net10.0/
        var configuration = new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name;
        var dll = Path.Combine(Repository, _service, "bin", configuration, "net10.0", $"{_service}.dll");
        if (!File.Exists(dll))
            throw new InvalidOperationException($"{dll} is missing: build the solution in the configuration {configuration}.");
        var start = new ProcessStartInfo("dotnet")
        {
            ArgumentList = { dll },
            WorkingDirectory = Folder,
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (key, value) in Settings())
            start.Environment[key] = value;
        start.Environment["ASPNETCORE_URLS"] = $"http://127.0.0.1:{Port}";
        _process?.Dispose();
        _process = Process.Start(start)!;
        ProcessId = _process.Id;
        ProcessIds.Add(ProcessId);
        _process.OutputDataReceived += (_, line) => Keep(line.Data);
        _process.ErrorDataReceived += (_, line) => Keep(line.Data);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    /// <summary>Waits until <c>/ready</c> answers 2xx.</summary>
    /// <exception cref="InvalidOperationException">The process has exited.</exception>
    public async Task ReadyAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            if (!IsRunning)
                throw new InvalidOperationException($"{Name} ended by itself:{Environment.NewLine}{string.Join(Environment.NewLine, Log.TakeLast(30))}");
            try
            {
                using var response = await _http.GetAsync(new Uri($"http://127.0.0.1:{Port}/ready"), cancellationToken);
                if (response.IsSuccessStatusCode)
                    return;
            }
            catch (Exception exception) when (exception is HttpRequestException or System.Net.Sockets.SocketException or TaskCanceledException && !cancellationToken.IsCancellationRequested)
            {
                // Not listening yet.
            }

            await Task.Delay(75, cancellationToken);
        }
    }

    /// <summary>Ends it with SIGKILL.</summary>
    public void Kill()
    {
        Keep("--- killed");
        _process!.Kill();
        _process.WaitForExit();
    }

    /// <summary>Sends SIGTERM and waits for the exit.</summary>
    public Task StopAsync(CancellationToken cancellationToken)
    {
        Keep("--- asked to end");
        Signal(Terminate);
        return _process!.WaitForExitAsync(cancellationToken);
    }

    /// <summary>Pauses the process with SIGSTOP.</summary>
    public void Pause()
    {
        Keep("--- paused");
        Signal(Stop);
    }

    /// <summary>Resumes the process with SIGCONT.</summary>
    public void Resume()
    {
        Keep("--- goes on");
        Signal(Continue);
    }

    /// <summary>Clears the captured output.</summary>
    public void ForgetLog() => _log.Clear();

    /// <inheritdoc />
    public virtual ValueTask DisposeAsync()
    {
        if (IsRunning)
            Kill();
        _process?.Dispose();
        _http.Dispose();
        GC.SuppressFinalize(this);
        return ValueTask.CompletedTask;
    }

    private void Keep(string? line)
    {
        if (line is null)
            return;
        _log.Enqueue(line);
        while (_log.Count > KeptLines)
            _log.TryDequeue(out _);
    }

    private void Signal(int signal)
    {
        if (SendSignal(_process!.Id, signal) != 0)
            throw new Win32Exception();
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int SendSignal(int process, int signal);
}
