using System.Net;
using System.Net.Sockets;
using Aspire.Hosting;
using Platform.AppHost.Running;

namespace Platform.AppHost.Tests.Running;

public sealed class PortsTests
{
    [Fact]
    public void The_console_is_on_9000_by_default() =>
        Ports.Parse(["--database", "local"]).All.ShouldBe([9000, 9001, 9003, 15888, 15889, 15890]);

    [Theory]
    [InlineData("--port", "9100")]
    [InlineData("--port=9100")]
    public void All_ports_move_by_as_much_as_the_console(params string[] args) =>
        Ports.Parse(args).All.ShouldBe([9100, 9101, 9103, 15988, 15989, 15990]);

    [Theory]
    [InlineData(1024)]
    [InlineData(58000)]
    public void The_lowest_and_the_highest_port_are_taken(int port) => Ports.Parse([$"--port={port}"]).Console.ShouldBe(port);

    [Theory]
    [InlineData("http")]
    [InlineData("")]
    [InlineData("-1")]
    [InlineData("+9100")]
    [InlineData("9100 ")]
    [InlineData("9,100")]
    [InlineData("80")]
    [InlineData("1023")]
    [InlineData("58001")]
    [InlineData("99999999999")]
    public void What_is_no_port_is_refused_with_the_rule(string value) =>
        Should.Throw<DistributedApplicationException>(() => Ports.Parse([$"--port={value}"])).Message.ShouldBe($"--port must be a number from 1024 to 58000, not '{value}'.");

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("0.0.0.0")]
    public void A_port_in_use_is_refused(string address)
    {
        using var other = new TcpListener(IPAddress.Parse(address), 0);
        other.Start();
        var port = ((IPEndPoint)other.LocalEndpoint).Port;

        Should.Throw<DistributedApplicationException>(() => Ports.EnsureFree(port)).Message.ShouldStartWith($"port {port} is in use by another program");
    }
}
