using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.NetworkInformation;
using Aspire.Hosting;
using Microsoft.Extensions.Configuration;

namespace Platform.AppHost.Running;

/// <summary>The fixed ports of a run, which all move with <paramref name="Console"/>.</summary>
/// <param name="Console">Port of the console and the public API; 9000 by default.</param>
internal sealed record Ports(int Console)
{
    public const int DefaultConsole = 9000;
    private const int Lowest = 1024;
    private const int Highest = 58_000; // leaves room for the dashboard's, which are 6890 higher

    public int TemplateRegistry => Console + 1;

    public int Stores => Console + 3;

    public int Dashboard => Console + 6888;

    public int DashboardTelemetry => Dashboard + 1;

    public int DashboardResources => Dashboard + 2;

    public IReadOnlyList<int> All => [Console, TemplateRegistry, Stores, Dashboard, DashboardTelemetry, DashboardResources];

    /// <summary>Reads <c>--port</c>.</summary>
    /// <exception cref="DistributedApplicationException">The value is not a port from 1024 to 58000.</exception>
    public static Ports Parse(string[] args)
    {
        // From the command line only: an environment variable PORT, which many systems set, means something else.
        var value = new ConfigurationBuilder().AddCommandLine(args).Build()["port"];
        return value is null ? new(DefaultConsole)
            : int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var port) && port is >= Lowest and <= Highest ? new(port)
            : throw new DistributedApplicationException($"--port must be a number from {Lowest} to {Highest}, not '{value}'.");
    }

    /// <summary>Checks that nothing listens on <paramref name="port"/>. Waits up to 12 s for leftover Aspire processes of a killed run, which exit by themselves.</summary>
    /// <exception cref="DistributedApplicationException">The port is in use.</exception>
    public static void EnsureFree(int port)
    {
        for (var tries = 0; !IsFree(port); tries++)
        {
            var owner = Owner(port);
            if (tries == 40 || owner is null || !IsOurs(owner))
            {
                throw new DistributedApplicationException(
                    $"port {port} is in use by another program{(owner is null ? "" : $" ({owner})")}: stop it, or choose other ports with --port.");
            }

            Thread.Sleep(300);
        }
    }

    private static bool IsOurs(string owner) => owner.Contains("dcp", StringComparison.Ordinal) || owner.Contains("aspire", StringComparison.OrdinalIgnoreCase);

    /// <summary>Whether nothing listens on <paramref name="port"/> of the loopback interface.</summary>
    public static bool IsFree(int port) => !IPGlobalProperties.GetIPGlobalProperties().GetActiveTcpListeners().Any(listener => listener.Port == port
        && (IPAddress.IsLoopback(listener.Address) || listener.Address.Equals(IPAddress.Any) || listener.Address.Equals(IPAddress.IPv6Any)));

    /// <summary>"name, process id" of the program that listens, as far as <c>lsof</c> or <c>ss</c> can tell.</summary>
    private static string? Owner(int port) =>
        Output("lsof", "-nP", $"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc") is { Length: > 0 } lsof && lsof.Split('\n') is [['p', .. var id], ['c', .. var name], ..] ? $"{name}, process {id}"
        : Output("ss", "-Hltnp", $"sport = :{port}") is { Length: > 0 } ss && ss.Split('"') is [_, var program, var rest, ..] ? $"{program}, process {rest.Split("pid=")[^1].Split(',')[0]}"
        : null;

    private static string? Output(string program, params string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { UseShellExecute = false, RedirectStandardOutput = true, RedirectStandardError = true })!;
            var output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return output.Trim();
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null; // the program is not installed
        }
    }
}

internal static class PortsExtensions
{
    /// <summary>
    /// Chooses the ports of this run by <c>--port</c>. A port other than the default also selects a data directory of its own (unless <c>DataDirectory</c> is set), so that copies
    /// of the platform can run side by side.
    /// </summary>
    /// <exception cref="DistributedApplicationException">The option is not a port, or a port of the run is in use.</exception>
    public static Ports ChoosePorts(this IDistributedApplicationBuilder builder, string[] args)
    {
        var ports = Ports.Parse(args);
        // Aspire.Hosting.Testing gives every resource a random port.
        if (builder.ExecutionContext.IsRunMode && !builder.Configuration.GetValue<bool>("DcpPublisher:RandomizePorts"))
        {
            if (ports.Console != Ports.DefaultConsole)
            {
                builder.Configuration["DataDirectory"] ??= $"../.data/{ports.Console}";
            }

            builder.Configuration["ASPIRE_ALLOW_UNSECURED_TRANSPORT"] ??= "true";
            List<int> taken = [ports.Console, ports.TemplateRegistry, ports.Stores];
            foreach (var (name, port) in new[] { ("ASPNETCORE_URLS", ports.Dashboard), ("ASPIRE_DASHBOARD_OTLP_ENDPOINT_URL", ports.DashboardTelemetry), ("ASPIRE_RESOURCE_SERVICE_ENDPOINT_URL", ports.DashboardResources) })
            {
                if (builder.Configuration[name] is null)
                {
                    builder.Configuration[name] = $"http://localhost:{port}";
                    taken.Add(port);
                }
            }

            taken.ForEach(Ports.EnsureFree);
        }

        return ports;
    }
}
