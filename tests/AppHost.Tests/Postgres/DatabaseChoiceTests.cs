using Aspire.Hosting;
using Platform.AppHost.Postgres;

namespace Platform.AppHost.Tests.Postgres;

public sealed class DatabaseChoiceTests : IDisposable
{
    private readonly DataDirectory _data = new();

    public void Dispose() => _data.Dispose();

    [Theory]
    [InlineData("npm docker", "Local")]
    [InlineData("npm", "Local")]
    [InlineData("docker", "Container")]
    [InlineData("podman", "Container")]
    public void Without_a_wish_the_local_server_is_taken_where_it_can_be_fetched(string programs, string expected) =>
        Choose(null, programs).ToString().ShouldBe(expected);

    [Fact]
    public void Installing_a_container_engine_or_losing_npm_does_not_make_shops_vanish()
    {
        Choose(null, "npm");
        Choose(null, "docker").ShouldBe(DatabaseKind.Local);
    }

    [Fact]
    public void A_wish_wins_and_is_remembered()
    {
        Choose(null, "npm");
        Choose("container", "npm docker").ShouldBe(DatabaseKind.Container);
        Choose(null, "npm docker").ShouldBe(DatabaseKind.Container);
    }

    [Fact]
    public void An_unknown_wish_is_refused_and_changes_nothing()
    {
        Should.Throw<DistributedApplicationException>(() => Choose("oracle", "npm")).Message.ShouldContain("'oracle'");
        Choose(null, "docker").ShouldBe(DatabaseKind.Container);
    }

    [Fact]
    public void Where_neither_is_possible_both_ways_out_are_named() =>
        Should.Throw<DistributedApplicationException>(() => Choose(null, "")).Message.ShouldSatisfyAllConditions(
            message => message.ShouldContain("npm"), message => message.ShouldContain("docker"));

    private DatabaseKind Choose(string? requested, string programs) =>
        DatabaseChoice.Make(_data.Path, requested, program => programs.Split(' ').Contains(program));
}
