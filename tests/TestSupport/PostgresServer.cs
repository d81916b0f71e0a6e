using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Npgsql;
using Xunit;

namespace Platform.TestSupport;

/// <summary>
/// A real PostgreSQL server for this test process, with its own data directory, which is deleted with it. Use one for all tests of an assembly,
/// <c>[assembly: AssemblyFixture(typeof(PostgresServer))]</c>, and a <see cref="TestDatabase"/> for each class; a test that stops the server
/// creates its own.
/// </summary>
public sealed class PostgresServer : IAsyncLifetime
{
    private const string Password = "platform-tests";
    private const string FolderPrefix = "platform-tests-postgres-";

    private readonly ConcurrentQueue<string> _log = new();
    private readonly string _folder;
    private Process? _process;

    /// <summary>Creates a server without starting it.</summary>
    public PostgresServer()
    {
        RemoveLeftovers();
        // The process id in the name shows later whether the folder is still in use.
        _folder = Directory.CreateTempSubdirectory($"{FolderPrefix}{Environment.ProcessId}-").FullName;
        if (!OperatingSystem.IsWindows())
        {
            // When started as root, the server runs as another user, which needs access to this folder.
            File.SetUnixFileMode(_folder, File.GetUnixFileMode(_folder) | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute);
        }

        Port = FreePort.Next();
    }

    /// <summary>Where it listens, on 127.0.0.1; stays the same over restarts.</summary>
    public int Port { get; }

    /// <summary>Creates and starts a server, which the caller disposes of.</summary>
    public static async Task<PostgresServer> StartNewAsync(CancellationToken cancellationToken = default)
    {
        var server = new PostgresServer();
        await server.StartAsync(cancellationToken);
        return server;
    }

    /// <summary>The connection string of a database on this server.</summary>
    public string ConnectionStringTo(string database) => new NpgsqlConnectionStringBuilder
    {
        Host = "127.0.0.1",
        Port = Port,
        Username = "postgres",
        Password = Password,
        Database = database,
    }.ConnectionString;

    /// <inheritdoc />
    public async ValueTask InitializeAsync() => await StartAsync();

    /// <summary>Starts the server, for the first time or again, and waits until it answers.</summary>
    public async Task StartAsync(CancellationToken cancellationToken = default)
    {
        if (_process is { HasExited: false })
        {
            return;
        }

        var start = new ProcessStartInfo(Path.Combine(RepositoryRoot.Path, "eng", "postgres", "serve"))
        {
            UseShellExecute = false,
            // The server stops when its standard input closes, so it stops with this process, even if that is killed.
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            ArgumentList = { Path.Combine(_folder, "data"), Port.ToString(CultureInfo.InvariantCulture) },
            Environment = { ["POSTGRES_PASSWORD"] = Password, ["PLATFORM_SERVE_STDIN"] = "1" },
        };
        _process = Process.Start(start)!;
        _process.OutputDataReceived += (_, line) => Log(line.Data);
        _process.ErrorDataReceived += (_, line) => Log(line.Data);
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();

        using var exited = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        await Eventually.Async(async () =>
        {
            if (_process.HasExited)
            {
                await exited.CancelAsync();
                throw new InvalidOperationException($"PostgreSQL did not start: {string.Join(Environment.NewLine, _log)}");
            }

            await using var connection = new NpgsqlConnection(ConnectionStringTo("postgres") + ";Pooling=false;Timeout=2");
            await connection.OpenAsync(cancellationToken);
        }, TimeSpan.FromMinutes(3), exited.Token);
    }

    /// <summary>Shuts the server down cleanly (fast shutdown) and closes all connections.</summary>
    public async Task StopAsync(CancellationToken cancellationToken = default)
    {
        if (_process is { HasExited: false } process)
        {
            process.StandardInput.Close();
            await process.WaitForExitAsync(cancellationToken);
        }
    }

    /// <summary>Kills the server like a crash; <see cref="StartAsync"/> then recovers from the write-ahead log.</summary>
    public async Task KillAsync(CancellationToken cancellationToken = default)
    {
        if (_process is { HasExited: false } process)
        {
            var postmaster = (await File.ReadAllLinesAsync(Path.Combine(_folder, "data", "postmaster.pid"), cancellationToken))[0];
            using var server = Process.GetProcessById(int.Parse(postmaster, CultureInfo.InvariantCulture));
            server.Kill();
            await server.WaitForExitAsync(cancellationToken);
            process.StandardInput.Close();
            await process.WaitForExitAsync(cancellationToken);
        }
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _process?.Dispose();
        Remove(_folder);
    }

    internal async Task ExecuteAsync(string sql, CancellationToken cancellationToken = default)
    {
        await using var connection = new NpgsqlConnection(ConnectionStringTo("postgres") + ";Pooling=false");
        await connection.OpenAsync(cancellationToken);
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    private static void RemoveLeftovers()
    {
        foreach (var folder in Directory.EnumerateDirectories(Path.GetTempPath(), FolderPrefix + "*"))
        {
            var owner = Path.GetFileName(folder)[FolderPrefix.Length..].Split('-')[0];
            if (int.TryParse(owner, CultureInfo.InvariantCulture, out var id) && !IsRunning(id))
            {
                Remove(folder);
            }
        }
    }

    private static bool IsRunning(int id)
    {
        try
        {
            using var process = Process.GetProcessById(id);
            return !process.HasExited;
        }
        catch (ArgumentException)
        {
            return false;
        }
    }

    private static void Remove(string folder)
    {
        try
        {
            Directory.Delete(folder, recursive: true);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // Another test process is deleting it, or it belongs to another user.
        }
    }

    private void Log(string? line)
    {
        if (line is not null)
        {
            _log.Enqueue(line);
        }
    }
}
