using System.Net;
using System.Net.Sockets;
using Platform.AppHost.Running;
using Platform.TestSupport;

namespace Platform.AppHost.Tests.Running;

/// <summary>What the AppHost, started as <c>./run</c> and <c>dotnet run</c> start it, says on the terminal when it can't start.</summary>
public sealed class StartTests : IDisposable
{
    // Ends a start that succeeds although it must fail.
    private const int Limit = 120_000;

    private readonly DataDirectory _data = new();
    private readonly int _port = FreePorts();

    public void Dispose() => _data.Dispose();

    [Fact(Timeout = Limit)]
    public async Task A_damaged_database_is_named_with_the_end_of_its_output()
    {
        var postgres = Directory.CreateDirectory(Path.Combine(_data.Path, "postgres"));
        File.WriteAllText(Path.Combine(postgres.FullName, "PG_VERSION"), "18\n");

        var (code, output) = await StartAsync();

        code.ShouldBe(1);
        output.ShouldContain("postgres ended with exit code 1. Its last output:");
        output.ShouldContain("postgres: could not set the password of the superuser");
        output.ShouldNotContain("   at ");
        output.ShouldNotContain("template-registry could not be started");
    }

    [Fact(Timeout = Limit)]
    public async Task A_service_that_an_invalid_setting_stops_is_named_with_field_and_rule()
    {
        var (code, output) = await StartAsync(environment: ("Requests__Timeout", "-1"));

        code.ShouldBe(1);
        output.ShouldContain(" crashed. Its last output:");
        output.ShouldContain("The field Timeout must be between");
        output.ShouldNotContain("   at ");
    }

    [Fact(Timeout = Limit)]
    public async Task A_port_in_use_is_named()
    {
        using var other = new TcpListener(IPAddress.Loopback, new Ports(_port).Dashboard);
        other.Start();

        var (code, output) = await StartAsync();

        code.ShouldBe(1);
        output.ShouldStartWith($"port {new Ports(_port).Dashboard} is in use by another program");
        output.ShouldContain("--port");
        output.Trim().ShouldNotContain("\n");
    }

    [Theory(Timeout = Limit)]
    [InlineData("--database=oracle", "--database says 'oracle': it must be 'local' or 'container'.")]
    [InlineData("--port=none", "--port must be a number from 1024 to 58000, not 'none'.")]
    public async Task An_invalid_option_is_named(string option, string said)
    {
        var (code, output) = await StartAsync(option);

        code.ShouldBe(1);
        output.Trim().ShouldBe(said);
    }

    private async Task<(int Code, string Output)> StartAsync(string? option = null, params (string Name, string Value)[] environment)
    {
        var directory = Path.Combine(RepositoryRoot.Path, "AppHost");
        string[] options = [$"--DataDirectory={_data.Path}", $"--port={_port}", .. option is null ? Array.Empty<string>() : [option]];
        var (code, output, error) = await Tool.RunAsync("dotnet", [Path.Combine(directory, "bin/Debug/net10.0/AppHost.dll"), .. options], directory,
            environment: [("DOTNET_ENVIRONMENT", "Development"), .. environment]);
        return (code, output + error);
    }

    private static int FreePorts()
    {
        while (true)
        {
            var port = FreePort.Next() % 16_000 + 2000;
            try
            {
                foreach (var each in new Ports(port).All)
                {
                    using var probe = new TcpListener(IPAddress.Loopback, each);
                    probe.Start();
                }

                return port;
            }
            catch (SocketException)
            {
                // Another program has one of them: try the next.
            }
        }
    }
}
