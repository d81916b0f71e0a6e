using System.Net.Http.Json;
using Aspire.Hosting;
using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Testing;
using Microsoft.Extensions.DependencyInjection;

namespace Platform.AppHost.Tests.Hosting;

/// <summary>What a process is given by the model: environment, arguments, references, parameters.</summary>
public sealed class ConfigurationTests
{
    [Fact]
    public async Task A_process_gets_the_values_references_and_parameters_of_its_resource()
    {
        await using var builder = TestApplication.Create("--Parameters:given=from-configuration", "--ConnectionStrings:elsewhere=Host=elsewhere");
        var given = builder.AddParameter("given");
        var generated = builder.AddParameter("generated", new GenerateParameterDefault { MinLength = 24, Special = false }, secret: true);
        var elsewhere = builder.AddConnectionString("elsewhere");
        var other = builder.AddServer("other-server");
        builder.AddServer("server")
            .WithEnvironment("PLAIN", "a value")
            .WithEnvironment("GIVEN", given)
            .WithEnvironment("GENERATED", generated)
            .WithEnvironment("OTHER_PORT", other.GetEndpoint("http").Property(EndpointProperty.Port))
            .WithEnvironment("MIXED", $"{given} at {other.GetEndpoint("http")}")
            .WithReference(other.GetEndpoint("http"))
            .WithReference(elsewhere);
        await using var app = await builder.BuildAsync(TestApplication.Deadline());
        await app.StartAsync(TestApplication.Deadline());

        var environment = await GetEnvironmentAsync(app, "server");

        var address = app.GetEndpoint("other-server").ToString().TrimEnd('/');
        environment["PLAIN"].ShouldBe("a value");
        environment["GIVEN"].ShouldBe("from-configuration");
        environment["GENERATED"].Length.ShouldBe(24);
        environment["GENERATED"].ShouldAllBe(c => char.IsAsciiLetterOrDigit(c));
        environment["OTHER_PORT"].ShouldBe(new Uri(address).Port.ToString(System.Globalization.CultureInfo.InvariantCulture));
        environment["MIXED"].ShouldBe($"from-configuration at {address}");
        environment["services__other-server__http__0"].ShouldBe(address);
        environment["ConnectionStrings__elsewhere"].ShouldBe("Host=elsewhere");
    }

    [Fact]
    public async Task What_a_test_changes_before_the_start_reaches_the_process()
    {
        await using var builder = TestApplication.Create();
        var server = builder.AddServer("server").WithEnvironment("WHO", "model");
        builder.Resources.OfType<ExecutableResource>().Single().Annotations.Add(new EnvironmentCallbackAnnotation(context => context.EnvironmentVariables["WHO"] += " and test"));
        server.OnBeforeResourceStarted((resource, _, _) =>
        {
            resource.Annotations.Add(new EnvironmentCallbackAnnotation("LATE", () => "too"));
            return Task.CompletedTask;
        });
        await using var app = await builder.BuildAsync(TestApplication.Deadline());
        await app.StartAsync(TestApplication.Deadline());

        var environment = await GetEnvironmentAsync(app, "server");

        environment["WHO"].ShouldBe("model and test");
        environment["LATE"].ShouldBe("too");
    }

    [Fact]
    public async Task Arguments_and_the_working_directory_are_those_of_the_resource()
    {
        await using var builder = TestApplication.Create();
        builder.AddExecutable("shell", "/bin/sh", "/", "-c", "echo \"$PWD $0 $1\"").WithArgs("first", "second one");
        await using var app = await builder.BuildAsync(TestApplication.Deadline());
        await app.StartAsync(TestApplication.Deadline());

        await app.LogUntilAsync("shell", "/ first second one");
    }

    [Fact]
    public async Task Two_resources_cannot_have_one_name()
    {
        await using var builder = TestApplication.Create();
        builder.AddParameter("same", "1");

        Should.Throw<DistributedApplicationException>(() => builder.AddExecutable("Same", "sh", "."));
    }

    private static async Task<Dictionary<string, string>> GetEnvironmentAsync(DistributedApplication app, string name)
    {
        await app.LogUntilAsync(name, "listening");
        using var client = app.CreateHttpClient(name);
        var values = await client.GetFromJsonAsync<Dictionary<string, object>>("/", TestApplication.Deadline());
        return values!.ToDictionary(v => v.Key, v => v.Value.ToString()!);
    }
}
