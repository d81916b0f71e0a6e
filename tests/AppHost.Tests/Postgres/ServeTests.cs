using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Npgsql;
using Platform.TestSupport;

namespace Platform.AppHost.Tests.Postgres;

/// <summary>eng/postgres/serve, as the AppHost and the tests rely on it.</summary>
public sealed class ServeTests : IDisposable
{
    private readonly DataDirectory _folder = new();
    private readonly List<Process> _started = [];
    private readonly int _port = FreePort.Next();

    public void Dispose()
    {
        foreach (var process in _started)
        {
            process.Kill(entireProcessTree: true);
            process.WaitForExit();
            process.Dispose();
        }

        _folder.Dispose();
    }

    [Fact]
    public async Task Data_survives_a_hard_kill_and_commits_are_durable()
    {
        Serve();
        await ExecuteAsync("CREATE TABLE kept (id int); INSERT INTO kept VALUES (7)");
        (await ScalarAsync("SELECT current_setting('fsync') || current_setting('synchronous_commit')")).ShouldBe("onon");
        (await ScalarAsync("SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'postgres'")).ShouldBe("UTF8");

        using (var server = Process.GetProcessById(ServerId()))
        {
            server.Kill();
        }

        await _started[^1].WaitForExitAsync(Cancel);
        Serve();
        (await ScalarAsync("SELECT id FROM kept")).ShouldBe(7);
    }

    [Fact]
    public async Task No_server_is_left_behind_when_the_script_is_killed()
    {
        Serve();
        await ScalarAsync("SELECT 1");
        var server = ServerId();

        _started[^1].Kill();

        await Eventually.TrueAsync(() => !IsRunning(server), cancellationToken: Cancel);
    }

    [Fact]
    public async Task SIGTERM_stops_the_server_with_a_client_connected()
    {
        Serve();
        await using var client = await ConnectAsync("secret");
        using var kill = Process.Start("kill", ["-TERM", _started[^1].Id.ToString(CultureInfo.InvariantCulture)]);

        // PostgreSQL's own answer to SIGTERM is to wait for its clients, for ever.
        await _started[^1].WaitForExitAsync(Cancel).WaitAsync(TimeSpan.FromSeconds(60), Cancel);
        _started[^1].ExitCode.ShouldBe(0);
    }

    [Fact]
    public async Task A_stop_right_after_the_start_is_not_lost()
    {
        await ServeAndStopAsync("secret");
        for (var i = 0; i < 8; i++)
        {
            Serve(stopAtEndOfInput: true);
            _started[^1].StandardInput.Close();

            await _started[^1].WaitForExitAsync(Cancel).WaitAsync(TimeSpan.FromMinutes(1), Cancel);
        }
    }

    [Fact]
    public async Task A_new_password_takes_effect_on_old_data()
    {
        await ServeAndStopAsync("old");
        Serve("it's new");

        await using (await ConnectAsync("it's new"))
        {
        }

        await Should.ThrowAsync<PostgresException>(async () =>
        {
            await using var connection = new NpgsqlConnection(ConnectionString("old"));
            await connection.OpenAsync(Cancel);
        });
    }

    [Fact]
    public async Task Data_of_another_major_version_is_refused_in_a_sentence()
    {
        await ServeAndStopAsync("secret");
        var version = Path.Combine(_folder.Path, "data", "PG_VERSION");
        await File.WriteAllTextAsync(version, "17\n", Cancel);

        var (code, sentence) = await RefusedAsync();
        code.ShouldNotBe(0);
        sentence.ShouldContain("PostgreSQL 17");
        (await File.ReadAllTextAsync(version, Cancel)).ShouldBe("17\n");
    }

    [Fact]
    public async Task A_port_in_use_is_named()
    {
        using var other = new TcpListener(IPAddress.Loopback, _port);
        other.Start();

        var (code, sentence) = await RefusedAsync();
        code.ShouldNotBe(0);
        sentence.ShouldContain($"port {_port} is in use");
    }

    [Fact]
    public async Task A_process_id_left_over_from_a_crash_is_no_obstacle_even_when_it_is_somebody_elses_now()
    {
        await ServeAndStopAsync("secret");
        await File.WriteAllTextAsync(Path.Combine(_folder.Path, "data", "postmaster.pid"), $"{Environment.ProcessId}\n/elsewhere\n", Cancel);

        Serve();
        (await ScalarAsync("SELECT 1")).ShouldBe(1);
    }

    [Fact]
    public async Task A_second_server_on_the_same_data_is_refused()
    {
        Serve();
        await ScalarAsync("SELECT 1");

        var (code, sentence) = await RefusedAsync(FreePort.Next());
        code.ShouldNotBe(0);
        sentence.ShouldContain("in use by another PostgreSQL");
        (await ScalarAsync("SELECT 2")).ShouldBe(2);
    }

    private void Serve(string password = "secret", int? port = null, bool stopAtEndOfInput = false)
    {
        var start = new ProcessStartInfo(Path.Combine(RepositoryRoot.Path, "eng/postgres/serve"), [Path.Combine(_folder.Path, "data"), (port ?? _port).ToString(CultureInfo.InvariantCulture)])
        {
            UseShellExecute = false,
            RedirectStandardError = true,
            RedirectStandardOutput = true,
            RedirectStandardInput = true,
            Environment = { ["POSTGRES_PASSWORD"] = password, ["PLATFORM_SERVE_PARENT"] = Environment.ProcessId.ToString(CultureInfo.InvariantCulture) },
        };
        if (stopAtEndOfInput)
        {
            start.Environment["PLATFORM_SERVE_STDIN"] = "1";
        }

        _started.Add(Process.Start(start)!);
    }

    private async Task ServeAndStopAsync(string password)
    {
        Serve(password);
        await (await ConnectAsync(password)).DisposeAsync();
        using var server = Process.GetProcessById(ServerId());
        using var interrupt = Process.Start("kill", ["-INT", server.Id.ToString(CultureInfo.InvariantCulture)]);
        await _started[^1].WaitForExitAsync(Cancel);
    }

    private async Task<(int Code, string Sentence)> RefusedAsync(int? port = null)
    {
        Serve(port: port);
        var process = _started[^1];
        var error = await process.StandardError.ReadToEndAsync(Cancel);
        await process.WaitForExitAsync(Cancel);
        error.Trim().ShouldNotContain("\n");
        return (process.ExitCode, error);
    }

    private async Task ExecuteAsync(string sql)
    {
        await using var connection = await ConnectAsync("secret");
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(Cancel);
    }

    private async Task<object?> ScalarAsync(string sql)
    {
        await using var connection = await ConnectAsync("secret");
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync(Cancel);
    }

    private Task<NpgsqlConnection> ConnectAsync(string password) => Eventually.Async(async () =>
    {
        var connection = new NpgsqlConnection(ConnectionString(password));
        await connection.OpenAsync(Cancel);
        return connection;
    }, cancellationToken: Cancel);

    private string ConnectionString(string password) => new NpgsqlConnectionStringBuilder
    {
        Host = "127.0.0.1",
        Port = _port,
        Username = "postgres",
        Password = password,
        Pooling = false,
    }.ConnectionString;

    private int ServerId() =>
        int.Parse(File.ReadLines(Path.Combine(_folder.Path, "data", "postmaster.pid")).First(), CultureInfo.InvariantCulture);

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

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;
}
